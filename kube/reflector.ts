import { Backoff } from "../lib/backoff.ts";
import { type Clock, sleep, systemClock } from "../lib/clock.ts";
import { Cache } from "./cache.ts";
import {
  BadRequestError,
  ConnectionError,
  ForbiddenError,
  GoneError,
  InvalidError,
  isTransient,
  KubeError,
  ProtocolError,
  TimeoutError,
  UnauthorizedError,
} from "./errors.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics } from "./metrics.ts";
import { type KubeObject, resourceName } from "./objects.ts";
import { listAll } from "./paged-list.ts";
import type { WatchEvent } from "./request.ts";
import { PAGE_SIZE, type ResourceClient } from "./resource-client.ts";
import { StallTimer } from "./stall-timer.ts";
import { WatchPlace } from "./watch-place.ts";

/** Where a reflector puts what it reads. */
export interface ReflectorSink<T> {
  /** Called as each object of a list comes in, before `replace`. */
  shrink(object: T): T;
  replace(objects: readonly T[], resourceVersion: string): void;
  apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void;
  /** Nothing up to this version is missing. */
  advance(resourceVersion: string): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly resource: ResourceClient<T>;
  readonly sink: ReflectorSink<T>;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Lists through the watch (KEP-3157) where the server can; true unless told. */
  readonly streamingList?: boolean;
  readonly pageSize?: number;
  /**
   * Time without a byte after which a watch is opened anew; 90 s unless told. The server sends a bookmark every
   * minute. Bytes that never make up a line are suffered for at most twice as long.
   */
  readonly silenceTimeoutMs?: number;
  readonly maxLineBytes?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/**
 * client-go's reflector: 0.8 s to 30 s, up to as much again by chance, anew after 2 min without failure. After a watch
 * that lived, too: see `#recover`.
 */
const BACKOFF = { initialMs: 800, maxMs: 30_000, jitter: 1, resetAfterMs: 120_000 };
/** The server ends a watch after 5 to 10 min, so that load spreads over the servers again. */
const MIN_WATCH_SECONDS = 300;
/** A watch that ends so soon and without events is a failure, or it would be opened in a tight loop. */
const SHORT_WATCH_MS = 1000;
const SILENCE_TIMEOUT_MS = 90_000;
/**
 * A server that was restored from a backup keeps a watch from its future open and says nothing, not even bookmarks,
 * until it has caught up. After so many watches without a word the next silence ends in a list.
 */
const MAX_SILENT_WATCHES = 2;

/** Keeps a sink equal to the API server: lists, watches, and repairs whatever breaks, until told to stop. */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #name: string;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  readonly #place: WatchPlace;
  #canStream: boolean;
  /** The last list failed as a stream; the next one comes in pages, because getting on beats elegance. */
  #isNextInPages = false;
  /** When the server accepted the present watch. */
  #openedMs = Number.POSITIVE_INFINITY;
  /** The wait before the present round. */
  #waitedMs = 0;
  /** Watches in a row, the present one included, that have told nothing. */
  #silentWatches = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#name = resourceName(options.resource.descriptor);
    this.#place = new WatchPlace(this.#name);
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff({ ...BACKOFF, clock: this.#clock, random: this.#random });
    this.#canStream = options.streamingList ?? true;
  }

  /** Makes the next round start from a list. The present watch goes on until then. */
  relist(reason: string): void {
    this.#place.forget(reason);
  }

  /** Runs until the signal aborts; no failure ends it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#round(signal);
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        await this.#recover(error, signal).catch(() => {});
      }
    }
  }

  /** One list if needed, and one watch. */
  async #round(signal: AbortSignal): Promise<void> {
    if (this.#place.version === undefined && (!this.#canStream || this.#isNextInPages)) {
      const { resource, sink, labelSelector, fieldSelector, pageSize = PAGE_SIZE } = this.#options;
      this.#metrics.listed(this.#name, this.#place.reason);
      const { objects, resourceVersion } = await listAll(resource, {
        ...(labelSelector !== undefined && { labelSelector }),
        ...(fieldSelector !== undefined && { fieldSelector }),
        pageSize,
        shrink: (object) => sink.shrink(object),
        signal,
      });
      this.#replace(objects, resourceVersion);
    }
    await this.#watch(signal);
  }

  /** Watches from the known place, or from nothing with the present objects first. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { sink } = this.#options;
    // Changes may come between the present objects and the bookmark that ends them, deletes too.
    let initial =
      this.#place.version === undefined
        ? new Cache<T>({ transform: (object) => sink.shrink(object) })
        : undefined;
    if (initial !== undefined) {
      this.#metrics.listed(this.#name, this.#place.reason);
    }
    this.#metrics.watching(this.#name);
    const openedMs = this.#clock.monotonic();
    let events = 0;
    const { silenceTimeoutMs = SILENCE_TIMEOUT_MS } = this.#options;
    const stall = new StallTimer(this.#clock, silenceTimeoutMs, `watch ${this.#name}`, signal);
    try {
      for await (const event of this.#events(initial !== undefined, silenceTimeoutMs, stall.signal)) {
        events += 1;
        this.#silentWatches = 0;
        stall.beat();
        if (initial !== undefined) {
          initial = this.#takeInitial(initial, event);
          continue;
        }
        if (event.type === "BOOKMARK") {
          this.#place.advance(event.resourceVersion);
          sink.advance(event.resourceVersion);
        } else {
          this.#place.advance(event.object.metadata.resourceVersion ?? "");
          sink.apply(event.type, event.object);
        }
        if (this.#place.version === undefined) {
          return;
        }
      }
    } finally {
      stall.dispose();
    }
    if (initial !== undefined) {
      throw new ProtocolError(
        `watch ${this.#name}: the stream ended before the initial events were complete`,
      );
    }
    if (events === 0 && this.#clock.monotonic() - openedMs < SHORT_WATCH_MS) {
      throw new ConnectionError(`watch ${this.#name}: the server ended the watch at once`);
    }
  }

  /** One event of a streaming list. @returns undefined once the list is whole */
  #takeInitial(initial: Cache<T>, event: WatchEvent<T>): Cache<T> | undefined {
    if (event.type !== "BOOKMARK") {
      initial.apply(event.type, event.object);
      return initial;
    }
    if (!event.initialEventsEnd) {
      // A server that does not know sendInitialEvents ignores it, and the end would never come.
      throw new ProtocolError(`watch ${this.#name}: a bookmark came before the end of the initial events`);
    }
    this.#replace(initial.lister.list(), event.resourceVersion);
    return undefined;
  }

  #events(isInitial: boolean, silenceTimeoutMs: number, signal: AbortSignal) {
    const { resource, labelSelector, fieldSelector, maxLineBytes } = this.#options;
    return resource.watch({
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
      ...(maxLineBytes !== undefined && { maxLineBytes }),
      ...(isInitial && { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" as const }),
      ...(this.#place.version !== undefined && { resourceVersion: this.#place.version }),
      allowBookmarks: true,
      timeoutSeconds: Math.floor(MIN_WATCH_SECONDS * (1 + this.#random())),
      silenceTimeoutMs,
      onOpen: () => {
        this.#openedMs = this.#clock.monotonic();
        this.#silentWatches += 1;
      },
      signal,
    });
  }

  #replace(objects: readonly T[], resourceVersion: string): void {
    this.#place.set(resourceVersion);
    this.#isNextInPages = false;
    this.#options.sink.replace(objects, resourceVersion);
    this.#logger.debug(
      { resource: this.#name, objects: objects.length, resourceVersion, reason: this.#place.reason },
      "listed",
    );
  }

  /** Decides where to go on after a failure, and waits. */
  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const code = error instanceof KubeError ? error.code : "KUBE_UNKNOWN";
    this.#metrics.reflectorFailed(this.#name, code);
    const cannotStream = error instanceof BadRequestError || error instanceof InvalidError;
    if (this.#canStream && !this.#isNextInPages && this.#place.version === undefined && cannotStream) {
      this.#canStream = false;
      this.#logger.info(
        { resource: this.#name, err: error },
        "the server cannot stream lists; listing in pages",
      );
      return;
    }
    const livedMs = this.#clock.monotonic() - this.#openedMs;
    this.#openedMs = Number.POSITIVE_INFINITY;
    const { silenceTimeoutMs = SILENCE_TIMEOUT_MS } = this.#options;
    const isSilent = livedMs >= silenceTimeoutMs && this.#silentWatches >= MAX_SILENT_WATCHES;
    if (this.#place.version === undefined) {
      this.#isNextInPages = !this.#isNextInPages;
    } else if (!canResume(error)) {
      this.#place.forget(code);
    } else if (isSilent) {
      this.#place.forget("silence");
    } else if (this.#silentWatches === 0 || livedMs >= this.#waitedMs) {
      // A server that told something, or kept the watch for longer than we had waited, is well: to resume is cheap.
      this.#backoff.reset();
    }
    const retryAfterMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const delayMs = Math.max(this.#backoff.next(), retryAfterMs);
    this.#waitedMs = delayMs;
    const fields = { resource: this.#name, err: error, retryInMs: Math.round(delayMs) };
    if (error instanceof GoneError) {
      this.#logger.info(fields, "the watch's place is too old; listing anew");
    } else {
      this.#logger.warn(fields, "list or watch failed; trying again");
    }
    await sleep(delayMs, { clock: this.#clock, signal });
  }
}

/** Whether the watch can go on from where it was. A CRD gone, a place too old or a garbled stream need a list. */
function canResume(error: unknown): boolean {
  const isAhead =
    error instanceof TimeoutError && error.causes.some(({ reason }) => reason === "ResourceVersionTooLarge");
  const isRefused = error instanceof UnauthorizedError || error instanceof ForbiddenError;
  return (isTransient(error) || isRefused) && !isAhead && !(error instanceof ProtocolError);
}
