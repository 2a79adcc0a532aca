/** Times as the Kubernetes API writes them. */

/** RFC 3339 in UTC, whole seconds: metav1.Time keeps no fractions. */
export function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
