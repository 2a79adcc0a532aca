import { compareResourceVersions, type KubeObject, keyOf } from "./objects.ts";
import type { ResourceClient } from "./resource-client.ts";
import type { Lister } from "./store.ts";

export interface AuditOptions<T extends KubeObject> {
  readonly resource: ResourceClient<T>;
  readonly cache: Lister<T> & {
    waitForVersion(
      resourceVersion: string,
      options: { timeoutMs?: number; signal?: AbortSignal },
    ): Promise<void>;
  };
  /** UIDs of the objects that the cache has seen deleted since the audit began; grows meanwhile. */
  readonly deleted: ReadonlySet<string>;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal: AbortSignal;
}

/** Without changes to the kind, a version is passed by the next bookmark, within a minute. */
const BOOKMARK_TIMEOUT_MS = 150_000;

/** The keys in which a cache that has caught up with a fresh list differs from it. */
export async function auditCache<T extends KubeObject>(options: AuditOptions<T>): Promise<string[]> {
  const { resource, cache, deleted, signal, labelSelector, fieldSelector } = options;
  const selectors = {
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
  };
  // Metadata says it all, and is a fraction of the bytes.
  const list = await resource.listMetadata({ ...selectors, signal });
  await cache.waitForVersion(list.resourceVersion, { timeoutMs: BOOKMARK_TIMEOUT_MS, signal });
  const misses: string[] = [];
  const listed = new Set<string>();
  for (const object of list.items) {
    const key = keyOf(object);
    listed.add(key);
    const cached = cache.get(key);
    const isGoneSince = deleted.has(object.metadata.uid ?? "");
    if (cached === undefined ? !isGoneSince : isBehind(cached, object.metadata.resourceVersion)) {
      misses.push(key);
    }
  }
  for (const object of cache.list()) {
    // One that is newer than the list was made after it.
    if (
      !listed.has(keyOf(object)) &&
      !isBehind({ metadata: { resourceVersion: list.resourceVersion } }, object.metadata.resourceVersion)
    ) {
      misses.push(keyOf(object));
    }
  }
  return misses;
}

function isBehind(object: KubeObject, resourceVersion: string | undefined): boolean {
  return compareResourceVersions(object.metadata.resourceVersion ?? "", resourceVersion ?? "") < 0;
}
