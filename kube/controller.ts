import { randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../lib/clock.ts";
import { ConflictError } from "./errors.ts";
import type { EventHandler } from "./event-handlers.ts";
import type { Informer } from "./informer.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics, type ReconcileResult } from "./metrics.ts";
import { type KubeObject, keyOf, makeKey, splitKey } from "./objects.ts";
import { controllerOf, refersTo } from "./ownership.ts";
import { ItemExponentialFailureRateLimiter, type RateLimiter } from "./rate-limiter.ts";
import { kindOf, type Reconcile, ReconcileTimeoutError, type Result, TerminalError } from "./reconcile.ts";
import { LOW_PRIORITY, type QueueItem, WorkQueue } from "./workqueue.ts";

export {
  type Reconcile,
  type ReconcileContext,
  ReconcileTimeoutError,
  type Request,
  type Result,
  TerminalError,
} from "./reconcile.ts";

/** What a controller needs of an informer. */
export interface Source<T extends KubeObject = KubeObject> {
  readonly name: string;
  readonly hasSynced: boolean;
  addHandler(handler: EventHandler<T>): () => void;
  waitForSync(signal: AbortSignal): Promise<void>;
}

/** A kind whose changes lead to keys of another; made by `watch`. */
export interface Watch<T extends KubeObject = KubeObject> {
  readonly informer: Source<T>;
  map(object: T): Iterable<string>;
}

/** @param map the keys that a change of the object concerns; at an update asked of the old and the new object */
export function watch<T extends KubeObject>(
  informer: Source<T>,
  map: (object: T) => Iterable<string>,
): Watch {
  return { informer, map };
}

export interface ControllerOptions<T extends KubeObject> {
  readonly name: string;
  readonly reconcile: Reconcile;
  /** The kind whose keys are reconciled. */
  readonly for: {
    readonly informer: Informer<T>;
    /** An update for which it is false wakes nobody: status-only changes, for one. */
    readonly isRelevant?: (previous: T, object: T) => boolean;
  };
  /** Kinds whose objects wake their controller owner, when that is of the kind above. */
  readonly owns?: readonly Source[];
  readonly watches?: readonly Watch[];
  /** Keys at work at once; 1 unless told. */
  readonly concurrency?: number;
  /** Deadline of one reconcile; 2 min unless told. */
  readonly reconcileTimeoutMs?: number;
  /** How long a stop waits for the running reconciles before it aborts them; 10 s unless told. */
  readonly drainTimeoutMs?: number;
  /** How long the caches may take to fill; 2 min unless told. */
  readonly syncTimeoutMs?: number;
  readonly rateLimiter?: RateLimiter;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

/** Turns events into keys and keys into reconciles: one at a time per key, some keys at once. */
export class Controller<T extends KubeObject = KubeObject> {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions<T>;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #sources: readonly Source[];

  constructor(options: ControllerOptions<T>) {
    this.name = options.name;
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ controller: options.name });
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
    this.queue = new WorkQueue({
      // As controller-runtime: no common bucket, which would hold back a healthy key behind failing ones.
      rateLimiter: options.rateLimiter ?? new ItemExponentialFailureRateLimiter(),
      metrics: this.#metrics.queue(options.name),
      clock: this.#clock,
    });
    const { owns = [], watches = [] } = options;
    this.#sources = [options.for.informer, ...owns, ...watches.map(({ informer }) => informer)];
    this.#listen(options.for.informer, (object) => [keyOf(object)], options.for.isRelevant);
    for (const source of owns) {
      this.#listen(source, (object) => this.#ownerKeys(object));
    }
    for (const { informer, map } of watches) {
      this.#listen(informer, map);
    }
  }

  /** Makes the key run now; for what no informer tells. */
  enqueue(key: string, priority?: number): void {
    this.queue.add(key, priority === undefined ? undefined : { priority });
  }

  /**
   * Waits for the caches, then works until the signal aborts; then takes nothing new, gives the running
   * reconciles `drainTimeoutMs` to end, and aborts them.
   * @throws when the caches do not fill in time
   */
  async run(signal: AbortSignal): Promise<void> {
    const { concurrency = 1, drainTimeoutMs = 10_000 } = this.#options;
    this.#metrics.controllerStarted(this.name, concurrency);
    try {
      await this.#waitForCaches(signal);
    } catch (error) {
      this.queue.shutDown();
      if (signal.aborted) {
        return;
      }
      throw error;
    }
    const stop = new AbortController();
    const onAbort = () => {
      this.queue.shutDown();
      const timer = this.#clock.setTimeout(() => {
        stop.abort(new Error(`controller ${this.name} was stopped`));
      }, drainTimeoutMs);
      stop.signal.addEventListener("abort", () => timer.cancel(), { once: true });
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) {
      onAbort();
    }
    await Promise.all(Array.from({ length: concurrency }, () => this.#work(signal, stop.signal)));
    stop.abort(new Error(`controller ${this.name} has stopped`));
  }

  async #work(signal: AbortSignal, stop: AbortSignal): Promise<void> {
    for (let item = await this.queue.get(); item !== undefined; item = await this.queue.get()) {
      if (signal.aborted) {
        // What is left will be found by the next leader's list.
        this.queue.done(item.key);
        continue;
      }
      try {
        await this.#handle(item, stop);
      } finally {
        this.queue.done(item.key);
      }
    }
  }

  /** One reconcile, with exactly one of the queue's answers to it. */
  async #handle({ key, priority }: QueueItem, stop: AbortSignal): Promise<void> {
    const logger = this.#logger.child({ key, reconcileID: randomUUID() });
    const startMs = this.#clock.monotonic();
    const finish = (result: ReconcileResult) =>
      this.#metrics.reconcileDone(this.name, result, (this.#clock.monotonic() - startMs) / 1000);
    this.#metrics.reconcileStarted(this.name);
    try {
      const result = (await this.#reconcile(key, logger, stop)) ?? {};
      if (result.requeueAfterMs !== undefined && result.requeueAfterMs > 0) {
        this.queue.forget(key);
        this.queue.addAfter(key, result.requeueAfterMs, { priority });
        finish("requeue_after");
      } else if (result.requeue === true) {
        this.queue.addRateLimited(key, { priority });
        finish("requeue");
      } else {
        this.queue.forget(key);
        finish("success");
      }
    } catch (error) {
      if (stop.aborted) {
        // Not the reconcile's failure; the next leader finds the key in its list.
        logger.info({ err: error }, "reconcile abandoned at the stop");
        finish("error");
        return;
      }
      this.#fail(error, key, priority, logger, finish);
    }
  }

  #fail(
    error: unknown,
    key: string,
    priority: number,
    logger: Logger,
    finish: (result: ReconcileResult) => void,
  ): void {
    if (error instanceof ConflictError && !error.isAboutFields) {
      logger.debug({ err: error }, "the cache was behind; trying again");
      this.queue.addRateLimited(key, { priority });
      finish("requeue");
      return;
    }
    finish("error");
    if (error instanceof TerminalError) {
      this.#metrics.reconcileFailed(this.name, "terminal");
      this.queue.forget(key);
      logger.error({ err: error }, "reconcile failed for good, until the object changes");
      return;
    }
    this.#metrics.reconcileFailed(this.name, kindOf(error));
    this.queue.addRateLimited(key, { priority });
    logger.error({ err: error, failures: this.queue.retries(key) }, "reconcile failed; trying again");
  }

  /**
   * Runs a reconcile with its deadline. One that overruns and ignores its signal keeps its key and worker, since
   * a second run of the key beside it would be worse; `workqueue_longest_running_processor_seconds` shows it.
   */
  async #reconcile(key: string, logger: Logger, stop: AbortSignal): Promise<Result> {
    const { reconcileTimeoutMs = 120_000, reconcile } = this.#options;
    const controller = new AbortController();
    const { signal } = controller;
    const timer = this.#clock.setTimeout(() => {
      const message = `reconcile ${this.name} ${key}: not done within ${reconcileTimeoutMs} ms`;
      controller.abort(new ReconcileTimeoutError(message));
    }, reconcileTimeoutMs);
    const onStop = () => controller.abort(stop.reason);
    stop.addEventListener("abort", onStop, { once: true });
    try {
      stop.throwIfAborted();
      const retries = this.queue.retries(key);
      return (await reconcile({ key, ...splitKey(key) }, { signal, logger, retries })) ?? {};
    } catch (error) {
      if (signal.aborted && error !== signal.reason && signal.reason instanceof ReconcileTimeoutError) {
        // What it was at when its time was up.
        throw new ReconcileTimeoutError(signal.reason.message, { cause: error });
      }
      throw signal.aborted ? signal.reason : error;
    } finally {
      timer.cancel();
      stop.removeEventListener("abort", onStop);
    }
  }

  async #waitForCaches(signal: AbortSignal): Promise<void> {
    const { syncTimeoutMs = 120_000 } = this.#options;
    const limit = new AbortController();
    const timer = this.#clock.setTimeout(() => {
      const waiting = this.#sources.filter((source) => !source.hasSynced).map((source) => source.name);
      limit.abort(
        new Error(
          `controller ${this.name}: no list of ${waiting.join(", ")} within ${syncTimeoutMs} ms; check RBAC and CRDs`,
        ),
      );
    }, syncTimeoutMs);
    try {
      const both = AbortSignal.any([signal, limit.signal]);
      await Promise.all(this.#sources.map((source) => source.waitForSync(both)));
    } finally {
      timer.cancel();
    }
  }

  /** What was there before, and resyncs, go behind what somebody just did. */
  #listen<W extends KubeObject>(
    source: Source<W>,
    map: (object: W) => Iterable<string>,
    isRelevant: (previous: W, object: W) => boolean = () => true,
  ): void {
    const add = (object: W, priority?: number, previous = object) => {
      for (const key of new Set(previous === object ? map(object) : [...map(previous), ...map(object)])) {
        this.enqueue(key, priority);
      }
    };
    const handler: EventHandler<W> = {
      name: this.name,
      onAdd: (object, isInInitialList) => add(object, isInInitialList ? LOW_PRIORITY : undefined),
      onUpdate: (previous, object) => {
        if (previous === object) {
          add(object, LOW_PRIORITY);
        } else if (isRelevant(previous, object)) {
          add(object, undefined, previous);
        }
      },
      onDelete: (object) => add(object),
    };
    source.addHandler(handler);
  }

  #ownerKeys(object: KubeObject): string[] {
    const { descriptor } = this.#options.for.informer.resource;
    const owner = controllerOf(object);
    return owner !== undefined && refersTo(owner, descriptor)
      ? [makeKey(descriptor.namespaced ? object.metadata.namespace : undefined, owner.name)]
      : [];
  }
}
