import { compareResourceVersions, type KubeObject } from "./objects.ts";

/** The part of an informer that says how far it has read. */
interface Reader {
  readonly name: string;
  readonly resourceVersion: string;
  /** How often the server was found to have been restored from a backup. */
  readonly restores: number;
  waitForVersion(
    resourceVersion: string,
    options: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<void>;
}

interface Written {
  readonly version: string;
  /** The reader's, at the write. */
  readonly restores: number;
}

/**
 * Read your own writes: notes per key the versions that its reconcile wrote, and tells whether the caches have
 * them. Needs no UIDs and no counting, because versions of one resource are ordered (client-go's ConsistencyStore).
 */
export class OwnWrites {
  readonly #written = new Map<string, Map<Reader, Written>>();

  /**
   * Notes the answer to a create, update or patch made for `key`.
   * @param informer of the written kind
   */
  wrote(key: string, informer: Reader, answer: KubeObject): void {
    const version = answer.metadata.resourceVersion ?? "";
    let versions = this.#written.get(key);
    if (versions === undefined) {
      versions = new Map();
      this.#written.set(key, versions);
    }
    const { restores } = informer;
    const last = versions.get(informer);
    if (last?.restores !== restores || compareResourceVersions(version, last.version) > 0) {
      versions.set(informer, { version, restores });
    }
  }

  /** True when the caches hold all that was written for `key`; it may be reconciled. */
  isSeen(key: string): boolean {
    const versions = this.#written.get(key);
    for (const [informer, { version, restores }] of versions ?? []) {
      if (informer.restores === restores && compareResourceVersions(informer.resourceVersion, version) < 0) {
        return false;
      }
      versions?.delete(informer);
    }
    if (versions?.size === 0) {
      this.#written.delete(key);
    }
    return true;
  }

  /**
   * Resolves when `isSeen`.
   * @throws TimeoutError, the signal's reason
   */
  async waitUntilSeen(
    key: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    const versions = [...(this.#written.get(key) ?? [])];
    const current = versions.filter(([informer, { restores }]) => informer.restores === restores);
    await Promise.all(current.map(([informer, { version }]) => informer.waitForVersion(version, options)));
    this.isSeen(key);
  }

  /** Forgets a key, once its object is gone. */
  delete(key: string): void {
    this.#written.delete(key);
  }
}
