import { Backoff } from "../lib/backoff.ts";
import { type Clock, sleep, systemClock } from "../lib/clock.ts";
import type { Client } from "./client.ts";
import { isTransient, NotFoundError } from "./errors.ts";
import { type Correlation, EventCorrelator, type EventInput } from "./event-correlator.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics } from "./metrics.ts";
import { type Draft, type KubeObject, keyOf } from "./objects.ts";
import { mergePatch } from "./request.ts";
import { type CoreEvent, EVENTS, type ObjectReference } from "./resources.ts";

export interface EventRecorderOptions {
  readonly client: Client;
  /** Who reports: "virtpod-operator". */
  readonly component: string;
  /** Name of the pod or host that reports. */
  readonly instance?: string;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

interface Pending {
  readonly reference: ObjectReference;
  readonly namespace: string;
  readonly event: EventInput;
  readonly correlation: Exclude<Correlation, { outcome: "drop" }>;
  readonly atMs: number;
}

/** client-go's: 1000 waiting events, 12 tries of each. */
const MAX_PENDING = 1000;
const MAX_TRIES = 12;
const RETRY = { initialMs: 500, maxMs: 10_000 };
const WRITE_TIMEOUT_MS = 10_000;
/** How long a stop waits for events that are on their way. */
const FLUSH_MS = 3000;
/** What the API server allows. */
const MAX_MESSAGE_BYTES = 1024;
const MAX_NAME_LENGTH = 253;

/** Writes core/v1 Events, which `kubectl describe` shows. Never blocks and never fails its caller. */
export class EventRecorder {
  readonly name = "events";
  readonly #client: Client;
  readonly #source: { component: string; host?: string };
  readonly #instance: string;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #correlator = new EventCorrelator();
  readonly #pending: Pending[] = [];
  #lastName = 0n;
  #wake = Promise.withResolvers<void>();

  constructor(options: EventRecorderOptions) {
    this.#client = options.client;
    this.#source = { component: options.component };
    this.#instance = options.instance ?? options.component;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Reports something about an object read from the API.
   * Repetitions are merged and floods cut; see EventCorrelator.
   */
  record(object: KubeObject, event: EventInput): void {
    const nowMs = this.#clock.now();
    const reference = referenceTo(object);
    const identity = reference.uid ?? `${reference.kind}/${keyOf(object)}`;
    const cut = { ...event, message: truncate(event.message, MAX_MESSAGE_BYTES) };
    const correlation = this.#correlator.correlate(identity, cut, nowMs, () =>
      this.#newName(reference.name ?? ""),
    );
    if (correlation.outcome === "drop" || this.#pending.length >= MAX_PENDING) {
      this.#metrics.event("dropped");
      this.#logger.debug({ event, object: reference }, "dropped an event");
      return;
    }
    // An event about a cluster-scoped object lives in "default".
    const namespace = reference.namespace ?? "default";
    this.#pending.push({ reference, namespace, event: cut, correlation, atMs: nowMs });
    this.#wake.resolve();
  }

  /** Writes the recorded events, one after the other, until the signal aborts; then those left, for 3 s at most. */
  async run(signal: AbortSignal): Promise<void> {
    const flush = new AbortController();
    const onAbort = () => {
      this.#wake.resolve();
      const timer = this.#clock.setTimeout(() => flush.abort(new Error("no time left for events")), FLUSH_MS);
      flush.signal.addEventListener("abort", () => timer.cancel(), { once: true });
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) {
      onAbort();
    }
    while (!flush.signal.aborted) {
      const next = this.#pending.shift();
      if (next !== undefined) {
        await this.#deliver(next, flush.signal);
      } else if (signal.aborted) {
        break;
      } else {
        this.#wake = Promise.withResolvers<void>();
        if (!signal.aborted) {
          await this.#wake.promise;
        }
      }
    }
    flush.abort(new Error("the recorder has stopped"));
  }

  async #deliver(pending: Pending, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ ...RETRY, clock: this.#clock });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#write(pending, signal);
        return;
      } catch (error) {
        // What the server refuses (namespace going away, no permission) it refuses again.
        if (signal.aborted || !isTransient(error) || attempt === MAX_TRIES) {
          this.#metrics.event("failed");
          this.#logger.warn(
            { err: error, object: pending.reference, event: pending.event },
            "could not write an event",
          );
          return;
        }
      }
      await sleep(backoff.next(), { clock: this.#clock, signal }).catch(() => {});
    }
  }

  async #write(pending: Pending, signal: AbortSignal): Promise<void> {
    const { namespace, correlation, atMs } = pending;
    const events = this.#client.resource(EVENTS).namespace(namespace);
    const options = { timeoutMs: WRITE_TIMEOUT_MS, signal };
    if (correlation.outcome === "update") {
      const { count, message } = correlation;
      const body = mergePatch({ count, message, lastTimestamp: time(atMs) });
      try {
        await events.patch(correlation.name, body, options);
        this.#metrics.event("updated");
        return;
      } catch (error) {
        // The API server forgets events after an hour.
        if (!(error instanceof NotFoundError)) {
          throw error;
        }
      }
    }
    await events.create(this.#draft(pending), options);
    this.#metrics.event("created");
  }

  #draft({ reference, namespace, event, correlation, atMs }: Pending): Draft<CoreEvent> {
    return {
      metadata: { name: correlation.name, namespace },
      involvedObject: reference,
      type: event.type,
      reason: event.reason,
      message: correlation.message,
      count: correlation.outcome === "update" ? correlation.count : 1,
      firstTimestamp: time(correlation.firstMs),
      lastTimestamp: time(atMs),
      source: this.#source,
      reportingComponent: this.#source.component,
      reportingInstance: this.#instance,
    };
  }

  /** Object's name and a number never used before: nanoseconds, as client-go's. */
  #newName(object: string): string {
    const now = BigInt(Math.round(this.#clock.now())) * 1_000_000n;
    this.#lastName = now > this.#lastName ? now : this.#lastName + 1n;
    const suffix = `.${this.#lastName.toString(16)}`;
    // Each label of a name must end with a letter or digit.
    return object.slice(0, MAX_NAME_LENGTH - suffix.length).replace(/[-.]+$/, "") + suffix;
  }
}

function referenceTo(object: KubeObject): ObjectReference {
  const { apiVersion, kind } = object;
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return {
    ...(apiVersion !== undefined && { apiVersion }),
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name }),
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
  };
}

function time(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

function truncate(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) {
    return text;
  }
  // The ellipsis takes three bytes; a character cut in two decodes to U+FFFD, which goes.
  return `${bytes
    .subarray(0, maxBytes - 3)
    .toString("utf8")
    .replace(/\uFFFD$/, "")}…`;
}
