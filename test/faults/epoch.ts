/**
 * resourceVersions as a client sees them after a restore that raised the revision (`etcdutl snapshot restore
 * --bump-revision`): each restore adds 10^12 to every version shown, and what a client sends back is taken modulo
 * 10^12. The client sees one growing counter; the API server sees its own. Pure.
 */

const STRIDE = 1_000_000_000_000n;

export function shownVersion(version: string, epoch: number): string {
  return isVersion(version) ? String(BigInt(version) + BigInt(epoch) * STRIDE) : version;
}

export function realVersion(version: string): string {
  return isVersion(version) ? String(BigInt(version) % STRIDE) : version;
}

/** Which epoch a version was shown in. */
export function epochOf(version: string): number {
  return isVersion(version) ? Number(BigInt(version) / STRIDE) : 0;
}

/** "" and "0" have meanings of their own. */
function isVersion(version: string): boolean {
  return /^[1-9]\d*$/.test(version);
}

/** A copy of an object, or of a list, as shown in an epoch. */
export function showVersions<T>(value: T, epoch: number): T {
  return mapVersions(value, (version) => shownVersion(version, epoch));
}

/** A copy of what a client sends (an object, a patch of either kind, DeleteOptions) as the API server must see it. */
export function hideVersions<T>(value: T): T {
  return mapVersions(value, realVersion);
}

function mapVersions<T>(value: T, map: (version: string) => string): T {
  if (Array.isArray(value)) return value.map((one) => mapOperation(one, map)) as T;
  if (typeof value !== "object" || value === null) return value;
  const { metadata, preconditions, items } = value as Record<string, unknown>;
  return {
    ...value,
    ...(metadata !== undefined && { metadata: mapMetadata(metadata, map) }),
    ...(preconditions !== undefined && { preconditions: mapMetadata(preconditions, map) }),
    ...(Array.isArray(items) && { items: items.map((item) => mapVersions(item, map)) }),
  };
}

function mapMetadata(value: unknown, map: (version: string) => string): unknown {
  if (typeof value !== "object" || value === null) return value;
  const { resourceVersion } = value as { resourceVersion?: unknown };
  return typeof resourceVersion === "string" ? { ...value, resourceVersion: map(resourceVersion) } : value;
}

/** An operation of a JSON patch that tests or writes the version. */
function mapOperation(operation: unknown, map: (version: string) => string): unknown {
  const { path, value } = (operation ?? {}) as { path?: unknown; value?: unknown };
  return path === "/metadata/resourceVersion" && typeof value === "string"
    ? { ...(operation as object), value: map(value) }
    : operation;
}
