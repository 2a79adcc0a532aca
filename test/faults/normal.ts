/** What two runs of the same life must agree on: objects without what differs from run to run by nature. Pure. */

interface NormalizeOptions {
  /** Of the VM; replaced wherever it occurs. */
  readonly name: string;
  readonly namespace: string;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g;
const MAC = /\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g;
const ADDRESS = /\b\d{1,3}(\.\d{1,3}){3}\b/g;
const CONTAINER = /containerd:\/\/[0-9a-f]{64}/g;
/** What the API server counts and records by itself, and which of a node's devices a pod was given. */
const DROPPED = new Set([
  "resourceVersion",
  "managedFields",
  "uid",
  "creationTimestamp",
  "allocatedResourcesStatus",
]);

export function normalize<T>(object: T, { name, namespace }: NormalizeOptions): T {
  // The pod's name ends in a hash of its VMI's UID.
  const podName = new RegExp(`virt-launcher-${name}-[0-9a-z]+`, "g");
  const ownName = new RegExp(`\\b${name}\\b`, "g");
  const text = (value: string) =>
    value
      .replace(podName, "<pod>")
      .replace(ownName, "<name>")
      .replaceAll(namespace, "<namespace>")
      .replace(UUID, "<uuid>")
      .replace(TIME, "<time>")
      .replace(MAC, "<mac>")
      .replace(ADDRESS, "<address>")
      .replace(CONTAINER, "<container>");
  return walk(object, text) as T;
}

function walk(value: unknown, text: (value: string) => string): unknown {
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return sortedByType(value.map((one) => walk(one, text)));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !DROPPED.has(key))
      .map(([key, one]): [string, unknown] => [text(key), walk(one, text)])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** Conditions are a map by type, in no order. */
function sortedByType(values: readonly unknown[]): readonly unknown[] {
  const typeOf = (value: unknown) => (value as { type?: unknown } | null)?.type;
  if (!values.every((value) => typeof typeOf(value) === "string")) return values;
  return values.toSorted((a, b) => (String(typeOf(a)) < String(typeOf(b)) ? -1 : 1));
}
