import { GoneError } from "./errors.ts";
import type { KubeObject } from "./objects.ts";
import type { ResourceClient } from "./resource-client.ts";

const PAGE_TIMEOUT_MS = 60_000;

export interface ListAllOptions<T> {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly pageSize: number;
  /** Called as each object comes in, so that no more than a page is held whole. */
  readonly shrink: (object: T) => T;
  readonly signal: AbortSignal;
}

interface All<T> {
  readonly objects: T[];
  /** That all of them are of. */
  readonly resourceVersion: string;
}

/** Reads a collection in pages, all of one version. @throws KubeError */
export async function listAll<T extends KubeObject>(
  resource: ResourceClient<T>,
  { pageSize, ...options }: ListAllOptions<T>,
): Promise<All<T>> {
  try {
    return await listPages(resource, pageSize, options);
  } catch (error) {
    if (!(error instanceof GoneError)) {
      throw error;
    }
    // The continue token outlived etcd's compaction: one list without pages is consistent by itself.
    return await listPages(resource, undefined, options);
  }
}

async function listPages<T extends KubeObject>(
  resource: ResourceClient<T>,
  limit: number | undefined,
  { shrink, ...selection }: Omit<ListAllOptions<T>, "pageSize">,
): Promise<All<T>> {
  const objects: T[] = [];
  let token: string | undefined;
  for (;;) {
    // No resourceVersion: "0" would be cheaper and may go back in time after a restart.
    const page = await resource.list({
      ...selection,
      ...(limit !== undefined && { limit }),
      ...(token !== undefined && { continue: token }),
      timeoutMs: PAGE_TIMEOUT_MS,
    });
    for (const item of page.items) {
      objects.push(shrink(item));
    }
    token = page.continueToken;
    if (token === undefined) {
      return { objects, resourceVersion: page.resourceVersion };
    }
  }
}
