import { type Clock, systemClock, type Timer } from "../lib/clock.ts";
import { auditCache } from "./audit.ts";
import { Cache, type CacheOptions, type Delta } from "./cache.ts";
import { TimeoutError } from "./errors.ts";
import { type EventHandler, EventHandlers } from "./event-handlers.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics } from "./metrics.ts";
import { compareResourceVersions, type KubeObject, resourceName } from "./objects.ts";
import { Reflector, type ReflectorOptions } from "./reflector.ts";
import type { ResourceClient } from "./resource-client.ts";
import type { Lister } from "./store.ts";
import { unlessAborted } from "./unless-aborted.ts";

export interface InformerOptions<T extends KubeObject>
  extends CacheOptions<T>,
    Pick<
      ReflectorOptions<T>,
      "labelSelector" | "fieldSelector" | "streamingList" | "pageSize" | "silenceTimeoutMs" | "maxLineBytes"
    > {
  /** The kind, in one namespace or in all. */
  readonly resource: ResourceClient<T>;
  /** Tells the handlers of all objects again so often; never, unless told. Reads nothing from the server. */
  readonly resyncMs?: number;
  /** Compares the cache with a fresh list so often (up to 10% later); 1 h unless told, 0 for never. */
  readonly auditMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

interface VersionWaiter {
  readonly resourceVersion: string;
  readonly restores: number;
  readonly resolve: () => void;
}

const DEFAULT_AUDIT_MS = 3_600_000;

/**
 * A cache of one kind and its events, shared by any number of handlers over one watch.
 *
 * - Handlers see every change after the cache has it, and the changes of one key in order.
 * - A handler that throws is logged and counted; the others and the cache go on.
 * - A handler added late is told of all that is there.
 */
export class Informer<T extends KubeObject> implements Lister<T> {
  readonly name: string;
  readonly resource: ResourceClient<T>;
  readonly #options: InformerOptions<T>;
  readonly #cache: Cache<T>;
  readonly #reflector: Reflector<T>;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #handlers: EventHandlers<T>;
  readonly #synced = Promise.withResolvers<void>();
  #versionWaiters: VersionWaiter[] = [];
  /** UIDs deleted while an audit runs, for each that does. */
  readonly #audits = new Set<Set<string>>();

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.resource = options.resource;
    this.name = resourceName(options.resource.descriptor);
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#cache = new Cache(options);
    this.#handlers = new EventHandlers(({ name: handler }, err) => {
      this.#metrics.handlerFailed(this.name, handler);
      this.#logger.error({ resource: this.name, handler, err }, "an event handler threw");
    });
    this.#reflector = new Reflector({
      ...options,
      sink: {
        shrink: (object) => this.#cache.shrink(object),
        replace: (objects, version) => this.#changed(this.#cache.replace(objects, version)),
        apply: (type, object) => this.#changed(this.#cache.apply(type, object)),
        advance: (version) => {
          this.#cache.advance(version);
          this.#changed([]);
        },
      },
    });
  }

  get(key: string): T | undefined {
    return this.#cache.lister.get(key);
  }

  list(): T[] {
    return this.#cache.lister.list();
  }

  byIndex(index: string, value: string): T[] {
    return this.#cache.lister.byIndex(index, value);
  }

  get size(): number {
    return this.#cache.lister.size;
  }

  /** True once the first list is in the cache and all handlers have been told of it. */
  get hasSynced(): boolean {
    return this.#cache.isFilled;
  }

  /** Every change up to this version is in the cache. */
  get resourceVersion(): string {
    return this.#cache.resourceVersion;
  }

  /** How often the server was found to have been restored from a backup; versions from before are void. */
  get restores(): number {
    return this.#cache.restores;
  }

  /** Adds a handler and tells it of all objects that are there; returns how to take it away. */
  addHandler(handler: EventHandler<T>): () => void {
    return this.#handlers.add(handler, this.list());
  }

  /** Lists and watches until the signal aborts. To be called once. */
  async run(signal: AbortSignal): Promise<void> {
    const timers = [
      this.#every(
        () => this.#options.resyncMs ?? 0,
        () => this.#resync(),
      ),
      this.#every(
        () => (this.#options.auditMs ?? DEFAULT_AUDIT_MS) * (1 + 0.1 * this.#random()),
        () =>
          void this.audit(signal).catch((err) =>
            this.#logger.warn({ resource: this.name, err }, "audit failed"),
          ),
      ),
    ];
    try {
      await this.#reflector.run(signal);
    } finally {
      for (const timer of timers) {
        timer.cancel();
      }
    }
  }

  /** Resolves when `hasSynced`. @throws the signal's reason */
  waitForSync(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#synced.promise, signal);
  }

  /**
   * Resolves when the cache holds all changes up to `resourceVersion`: the way to read one's own writes. Also when
   * the server is restored meanwhile: no such version may ever come.
   * @param timeoutMs 10 s unless told
   * @throws TimeoutError when that takes too long; the signal's reason
   */
  async waitForVersion(
    resourceVersion: string,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<void> {
    const { timeoutMs = 10_000, signal } = options;
    if (this.#hasSeen(resourceVersion)) {
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { resourceVersion, restores: this.restores, resolve };
    this.#versionWaiters.push(waiter);
    const limit = new AbortController();
    const timer = this.#clock.setTimeout(() => {
      const at = this.#cache.resourceVersion;
      const what = `wait for ${this.name} of version ${resourceVersion}`;
      limit.abort(new TimeoutError(`${what}: the cache is at ${at || "nothing"} after ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      await unlessAborted(
        promise,
        signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal]),
      );
    } finally {
      timer.cancel();
      this.#versionWaiters = this.#versionWaiters.filter((other) => other !== waiter);
    }
  }

  /**
   * Compares the cache with a list of the server's; repairs by listing anew.
   * @returns the keys that differ: none, or there is a defect
   */
  async audit(signal: AbortSignal): Promise<string[]> {
    const deleted = new Set<string>();
    this.#audits.add(deleted);
    try {
      const { labelSelector, fieldSelector, resource } = this.#options;
      const misses = await auditCache({
        resource,
        cache: this,
        deleted,
        signal,
        ...(labelSelector !== undefined && { labelSelector }),
        ...(fieldSelector !== undefined && { fieldSelector }),
      });
      this.#metrics.audited(this.name, misses.length);
      if (misses.length > 0) {
        this.#logger.error(
          { resource: this.name, misses: misses.slice(0, 10) },
          "the cache missed changes; listing anew",
        );
        this.#reflector.relist("audit");
      }
      return misses;
    } finally {
      this.#audits.delete(deleted);
    }
  }

  #changed(deltas: readonly Delta<T>[]): void {
    for (const deleted of this.#audits) {
      for (const delta of deltas) {
        if (delta.type === "deleted") {
          deleted.add(`${delta.object.metadata.uid}`);
        }
      }
    }
    this.#handlers.tell(deltas);
    this.#metrics.stored(this.name, this.#cache.resourceVersion, this.size, this.#clock.now());
    if (this.#cache.isFilled) {
      this.#synced.resolve();
    }
    for (const waiter of this.#versionWaiters) {
      if (waiter.restores !== this.restores || this.#hasSeen(waiter.resourceVersion)) {
        waiter.resolve();
      }
    }
  }

  #resync(): void {
    this.#handlers.tell(this.list().map((object) => ({ type: "updated", previous: object, object })));
  }

  #hasSeen(resourceVersion: string): boolean {
    return this.#cache.isFilled && compareResourceVersions(this.#cache.resourceVersion, resourceVersion) >= 0;
  }

  #every(intervalMs: () => number, run: () => void): Timer {
    let timer: Timer | undefined;
    const arm = () => {
      const delayMs = intervalMs();
      timer =
        delayMs <= 0
          ? undefined
          : this.#clock.setTimeout(() => {
              run();
              arm();
            }, delayMs);
    };
    arm();
    return { cancel: () => timer?.cancel() };
  }
}
