import { type Clock, systemClock } from "../lib/clock.ts";
import { DelayedKeys } from "./delayed-keys.ts";
import type { HeapItem } from "./heap.ts";
import { QueueMetrics, type QueueObservation } from "./queue-metrics.ts";
import { defaultRateLimiter, type RateLimiter } from "./rate-limiter.ts";
import { ReadyKeys } from "./ready-keys.ts";
import type { Listed } from "./ready-list.ts";

/** For keys that only a restart or a resync brings: a user's change overtakes them. controller-runtime's value. */
export const LOW_PRIORITY = -100;
export const DEFAULT_PRIORITY = 0;

export interface AddOptions {
  /** Higher goes first; 0 unless told. */
  readonly priority?: number;
}

export interface QueueItem {
  readonly key: string;
  readonly priority: number;
}

export interface WorkQueueOptions {
  readonly rateLimiter?: RateLimiter;
  readonly metrics?: QueueMetrics;
  readonly clock?: Clock;
}

/** All that is known of one key. It exists while the key is ready, delayed, dirty or processing. */
interface Entry extends HeapItem, Listed<Entry> {
  readonly key: string;
  priority: number;
  isProcessing: boolean;
  /** Added again while processing. */
  isDirty: boolean;
  /** When it became ready, or dirty while processing. */
  addedMs: number;
  /** When its processing began. */
  startedMs: number;
}

interface Waiter {
  readonly resolve: (item: QueueItem | undefined) => void;
}

/**
 * client-go's work queue with controller-runtime's priorities.
 *
 * - A key is in the queue at most once, whoever adds it how often; the highest priority and the earliest time win.
 * - A key is never handed out twice at once. Added while processing, it runs once more after `done`.
 * - Higher priorities go first; within one, first come first served.
 * - After `shutDown` adds are ignored, delayed keys are dropped and ready ones are still handed out.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #rateLimiter: RateLimiter;
  readonly #metrics: QueueMetrics;
  readonly #entries = new Map<string, Entry>();
  readonly #ready = new ReadyKeys<Entry>();
  readonly #delayed: DelayedKeys<Entry>;
  readonly #waiters = new Set<Waiter>();
  readonly #drained: (() => void)[] = [];
  #processingCount = 0;
  #isShuttingDown = false;
  #isDispatching = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#rateLimiter = options.rateLimiter ?? defaultRateLimiter(this.#clock);
    this.#metrics = options.metrics ?? new QueueMetrics();
    this.#metrics.observe = () => this.#observe();
    this.#delayed = new DelayedKeys(this.#clock, (entry) => this.#makeReady(entry));
  }

  /** Ready keys, those being processed and those delayed not counted. */
  get length(): number {
    return this.#ready.length;
  }

  get isShuttingDown(): boolean {
    return this.#isShuttingDown;
  }

  /** Makes the key ready now. */
  add(key: string, options?: AddOptions): void {
    if (this.#isShuttingDown) {
      return;
    }
    const entry = this.#raise(key, options?.priority ?? DEFAULT_PRIORITY);
    this.#delayed.remove(entry);
    this.#makeReady(entry);
  }

  /** Makes the key ready after `delayMs`, or when it already would be, whichever is earlier. */
  addAfter(key: string, delayMs: number, options?: AddOptions): void {
    if (delayMs <= 0) {
      this.add(key, options);
      return;
    }
    if (this.#isShuttingDown) {
      return;
    }
    const entry = this.#raise(key, options?.priority ?? DEFAULT_PRIORITY);
    if (entry.ready === undefined && !entry.isDirty) {
      this.#delayed.add(entry, delayMs);
    }
  }

  /** Makes the key ready after the wait that the rate limiter says, and counts a failure. */
  addRateLimited(key: string, options?: AddOptions): void {
    if (!this.#isShuttingDown) {
      this.#metrics.retries += 1;
      this.addAfter(key, this.#rateLimiter.when(key), options);
    }
  }

  /** Ends the key's series of failures. To be called on success; it does not take the key out. */
  forget(key: string): void {
    this.#rateLimiter.forget(key);
  }

  /** Failures of the key in series. */
  retries(key: string): number {
    return this.#rateLimiter.retries(key);
  }

  /** Takes the first ready key, which stays locked until `done`; undefined when none is ready. */
  tryGet(): QueueItem | undefined {
    const entry = this.#ready.shift();
    return entry === undefined ? undefined : this.#start(entry);
  }

  /** Waits for a ready key and takes it; undefined when the queue shuts down with nothing ready. */
  get(): Promise<QueueItem | undefined> {
    const item = this.tryGet();
    if (item !== undefined || this.#isShuttingDown) {
      return Promise.resolve(item);
    }
    return new Promise((resolve) => this.#waiters.add({ resolve }));
  }

  /** Ends the processing of a key that `get` handed out. */
  done(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || !entry.isProcessing) {
      return;
    }
    entry.isProcessing = false;
    this.#processingCount -= 1;
    this.#metrics.workSeconds.observe((this.#clock.monotonic() - entry.startedMs) / 1000);
    if (entry.isDirty) {
      entry.isDirty = false;
      this.#push(entry);
    } else if (!this.#delayed.has(entry)) {
      this.#entries.delete(key);
    }
    this.#settle();
  }

  /** Ignores further adds, drops delayed keys, and ends each `get` once nothing is ready. */
  shutDown(): void {
    this.#isShuttingDown = true;
    for (const entry of this.#delayed.drain()) {
      if (!entry.isProcessing) {
        this.#entries.delete(entry.key);
      }
    }
    // Keys added in this very turn have not been handed to their waiters yet.
    this.#dispatch();
    for (const waiter of this.#waiters) {
      waiter.resolve(undefined);
    }
    this.#waiters.clear();
    this.#settle();
  }

  /** Shuts down and resolves when every ready key has been processed, or when `signal` aborts. */
  shutDownWithDrain(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      signal?.addEventListener("abort", () => resolve(), { once: true });
      if (signal?.aborted === true) {
        resolve();
      }
      this.#drained.push(resolve);
      this.shutDown();
    });
  }

  #raise(key: string, priority: number): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        key,
        priority,
        dueMs: 0,
        place: -1,
        ready: undefined,
        previous: undefined,
        next: undefined,
        isProcessing: false,
        isDirty: false,
        addedMs: 0,
        startedMs: 0,
      };
      this.#entries.set(key, entry);
      return entry;
    }
    const isIdle = entry.isProcessing && !entry.isDirty && !this.#delayed.has(entry);
    if (isIdle) {
      // The priority of the run in progress says nothing about the next one.
      entry.priority = priority;
    } else if (priority > entry.priority) {
      if (entry.ready === undefined) {
        entry.priority = priority;
      } else {
        this.#ready.move(entry, priority);
      }
    }
    return entry;
  }

  #makeReady(entry: Entry): void {
    if (entry.ready !== undefined || entry.isDirty) {
      return;
    }
    // As client-go counts: an add that merges with another is none, and waiting for one's own run to end is waiting.
    this.#metrics.adds += 1;
    entry.addedMs = this.#clock.monotonic();
    if (entry.isProcessing) {
      entry.isDirty = true;
      return;
    }
    this.#push(entry);
  }

  #push(entry: Entry): void {
    this.#ready.push(entry);
    if (this.#waiters.size > 0 && !this.#isDispatching) {
      // Not at once: adds of one key in one turn make one run, and the most urgent of them goes first.
      this.#isDispatching = true;
      queueMicrotask(() => this.#dispatch());
    }
  }

  #dispatch(): void {
    this.#isDispatching = false;
    for (const waiter of this.#waiters) {
      const item = this.tryGet();
      if (item === undefined) {
        return;
      }
      this.#waiters.delete(waiter);
      waiter.resolve(item);
    }
  }

  #start(entry: Entry): QueueItem {
    const nowMs = this.#clock.monotonic();
    this.#metrics.queueSeconds.observe((nowMs - entry.addedMs) / 1000);
    entry.startedMs = nowMs;
    entry.isProcessing = true;
    this.#processingCount += 1;
    return { key: entry.key, priority: entry.priority };
  }

  #settle(): void {
    if (this.#isShuttingDown && this.#ready.length === 0 && this.#processingCount === 0) {
      for (const resolve of this.#drained.splice(0)) {
        resolve();
      }
    }
  }

  #observe(): QueueObservation {
    const nowMs = this.#clock.monotonic();
    let unfinishedSeconds = 0;
    let longestSeconds = 0;
    for (const entry of this.#entries.values()) {
      if (entry.isProcessing) {
        const seconds = (nowMs - entry.startedMs) / 1000;
        unfinishedSeconds += seconds;
        longestSeconds = Math.max(longestSeconds, seconds);
      }
    }
    return { depth: this.#ready.depth(), unfinishedSeconds, longestSeconds };
  }
}
