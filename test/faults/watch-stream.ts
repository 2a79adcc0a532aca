/** One watch on its way to the client: carries out what the faults decide about its events. */
import type { ServerResponse } from "node:http";
import { realVersion, showVersions } from "./epoch.ts";
import type { Exchange } from "./exchange.ts";
import { isBookmark, keyOfEvent, type WatchEvent, type WatchProgress, type WatchStep } from "./fault.ts";
import type { Link } from "./relay.ts";

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
const SECOND_MS = 1000;

export interface WatchStreamOptions {
  readonly exchange: Exchange;
  readonly response: ServerResponse;
  readonly link: Link;
  /** The client's. */
  readonly authorization: string | undefined;
  /** What the armed faults say about an event, and who to tell when it is carried out. */
  readonly decide: (event: WatchEvent, progress: WatchProgress) => Decision | undefined;
  readonly epoch: () => number;
}

export interface Decision {
  readonly steps: readonly WatchStep[];
  readonly isArmed: () => boolean;
  readonly fired: () => void;
}

interface Deferred {
  readonly event: WatchEvent;
  readonly decision: Decision;
  readonly passedBefore: number;
  readonly timer: NodeJS.Timeout;
}

export class WatchStream {
  readonly exchange: Exchange;
  readonly authorization: string | undefined;
  /** Aborts when the client is gone or the stream was ended here. */
  readonly ended: AbortSignal;
  readonly #end = new AbortController();
  readonly #options: WatchStreamOptions;
  readonly #deferred = new Map<string, Deferred>();
  #isInitial: boolean;
  #passed = 0;
  #version: string;
  /** Writes happen one after the other, whoever asks. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    this.exchange = options.exchange;
    this.authorization = options.authorization;
    this.ended = this.#end.signal;
    this.#isInitial = options.exchange.query.get("sendInitialEvents") === "true";
    this.#version = realVersion(options.exchange.query.get("resourceVersion") ?? "");
    options.response.on("close", () => this.#finish());
    // A client that was killed while much was to be written to it: its connection has gone, and the response stays open.
    options.link.onClose(() => this.#finish());
    options.response.on("error", () => this.#finish());
  }

  /** True once the client has the whole of what there was at the start. */
  get isSynced(): boolean {
    return !this.#isInitial;
  }

  /** Takes in an event of the API server's; resolves when it has been dealt with. */
  receive(event: WatchEvent): Promise<void> {
    return this.#queue(async () => {
      const decision = this.#options.decide(event, {
        isInitial: this.#isInitial,
        passed: this.#passed,
        version: this.#version,
      });
      await this.#flushDeferred(keyOfEvent(event));
      if (decision === undefined) await this.#pass(event);
      else await this.#carryOut(decision);
      const isInitialEnd = event.object.metadata.annotations?.[INITIAL_EVENTS_END] === "true";
      if (isBookmark(event) && isInitialEnd) this.#isInitial = false;
    });
  }

  /** An event that the API server did not send. */
  inject(event: WatchEvent): Promise<void> {
    return this.#queue(() => this.#send(event));
  }

  /** Ends as the API server does after a watch's time. */
  end(): Promise<void> {
    return this.#queue(async () => this.#close());
  }

  /** Ends with the line that tells the client that its place is too old. */
  expire(): Promise<void> {
    const object = { kind: "Status", apiVersion: "v1", metadata: {}, code: 410, reason: "Expired" };
    return this.#queue(async () => {
      await this.#write(`${JSON.stringify({ type: "ERROR", object: { ...object, message: "too old" } })}\n`);
      this.#close();
    });
  }

  #queue(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(() => (this.ended.aborted ? undefined : work())).catch(() => this.#finish());
    return this.#last;
  }

  async #carryOut(decision: Decision): Promise<void> {
    const { link } = this.#options;
    const isOvertaking = decision.steps.some((step) => step.do === "defer");
    for (const step of decision.steps) {
      switch (step.do) {
        case "send":
          await this.#pass(step.event);
          break;
        case "sendLine":
          await this.#write(`${step.line}\n`);
          break;
        case "sendHalf": {
          const line = this.#line(step.event);
          await this.#write(line.slice(0, line.length / 2));
          break;
        }
        case "end":
          this.#close();
          break;
        case "reset":
          link.reset();
          this.#finish();
          break;
        case "silence":
          link.silence();
          // The API server's side is left open as well: that is what half-open means.
          break;
        case "trickle":
          decision.fired();
          await this.#trickle(this.#line(step.event), decision.isArmed);
          this.#note(step.event);
          break;
        case "defer":
          this.#defer(step.event, step.ms, decision);
          break;
      }
      if (this.ended.aborted) break;
    }
    if (!isOvertaking && decision.steps[0]?.do !== "trickle") decision.fired();
  }

  async #pass(event: WatchEvent): Promise<void> {
    await this.#send(event);
    this.#note(event);
  }

  #note(event: WatchEvent): void {
    if (!isBookmark(event) && !this.#isInitial) this.#passed++;
    if (!this.#isInitial || isBookmark(event)) {
      this.#version = event.object.metadata.resourceVersion ?? this.#version;
    }
  }

  #defer(event: WatchEvent, ms: number, decision: Decision): void {
    const key = keyOfEvent(event);
    const timer = setTimeout(() => void this.#queue(() => this.#flushDeferred(key)), ms);
    this.#deferred.set(key, { event, decision, passedBefore: this.#passed, timer });
  }

  async #flushDeferred(key: string): Promise<void> {
    const deferred = this.#deferred.get(key);
    if (deferred === undefined) return;
    this.#deferred.delete(key);
    clearTimeout(deferred.timer);
    if (this.#passed > deferred.passedBefore) deferred.decision.fired();
    await this.#pass(deferred.event);
  }

  async #trickle(line: string, isArmed: () => boolean): Promise<void> {
    const bytes = Buffer.from(line);
    let at = 0;
    for (; at < bytes.length && isArmed() && !this.ended.aborted; at++) {
      await this.#write(bytes.subarray(at, at + 1));
      await pause(SECOND_MS);
    }
    await this.#write(bytes.subarray(at));
  }

  #send(event: WatchEvent): Promise<void> {
    return this.#write(this.#line(event));
  }

  #line(event: WatchEvent): string {
    return `${JSON.stringify({ type: event.type, object: showVersions(event.object, this.#options.epoch()) })}\n`;
  }

  async #write(data: string | Uint8Array): Promise<void> {
    const { response } = this.#options;
    if (this.ended.aborted) return;
    if (response.write(data)) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        response.off("drain", done);
        this.ended.removeEventListener("abort", done);
        resolve();
      };
      response.on("drain", done);
      this.ended.addEventListener("abort", done);
    });
  }

  #close(): void {
    this.#options.response.end();
    this.#finish();
  }

  #finish(): void {
    for (const { timer } of this.#deferred.values()) clearTimeout(timer);
    this.#deferred.clear();
    this.#end.abort();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
