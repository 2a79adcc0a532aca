/**
 * What a fault may decide. A fault is a small state machine over what passes through the proxy: it sees requests,
 * replies and watch events and answers with plain data. It holds no socket and no clock; `proxy.ts` carries out what
 * it says and counts how often.
 */
import type { Exchange } from "./exchange.ts";

/** One line of a watch. */
export interface WatchEvent {
  readonly type: string;
  readonly object: WatchObject;
}

export interface WatchObject {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly metadata: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** How far a watch has come. */
export interface WatchProgress {
  /** The stream still tells the objects that were there at its start (sendInitialEvents). */
  readonly isInitial: boolean;
  /** Events passed on so far, bookmarks and initial ones apart. */
  readonly passed: number;
  /** The resourceVersion that the client has reached: nothing up to it was kept back. */
  readonly version: string;
}

/** In place of forwarding a request. */
export type RequestAction =
  | { readonly do: "answer"; readonly answer: Answer }
  /** The query that the API server sees in place of the client's; null takes a parameter away. */
  | { readonly do: "rewrite"; readonly query: Readonly<Record<string, string | null>> }
  /** From now on no byte passes on this connection in either direction, and nobody closes it. */
  | { readonly do: "silence" }
  /** Goes on to the API server only when the fault is lifted, as after a long way through the network. */
  | { readonly do: "hold" }
  /** No answer ever, on a connection that lives. */
  | { readonly do: "ignore" };

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON unless it is a string. */
  readonly body: unknown;
}

/** In place of passing on what the API server has answered. */
export type ReplyAction =
  /** Cut off before the answer: the whole connection by TCP RST, or this request's stream alone. */
  | { readonly do: "lose"; readonly how: "connection" | "stream" }
  /** The answer is kept back for good; the connection stands. */
  | { readonly do: "withhold" };

/** What to do with a watch, in order, in place of passing on one event. */
export type WatchStep =
  | { readonly do: "send"; readonly event: WatchEvent }
  /** Anything, as one line. */
  | { readonly do: "sendLine"; readonly line: string }
  /** The first half of the event's line. */
  | { readonly do: "sendHalf"; readonly event: WatchEvent }
  /** Ends the stream as the API server does after its time. */
  | { readonly do: "end" }
  /** TCP RST on the stream's connection. */
  | { readonly do: "reset" }
  /** As for a request. */
  | { readonly do: "silence" }
  /** The line in single bytes, one per second for as long as the fault is armed. */
  | { readonly do: "trickle"; readonly event: WatchEvent }
  /**
   * Passed on so much later, so that events of other keys overtake it; those of its own key wait behind it. Counts as
   * a firing only when it was overtaken.
   */
  | { readonly do: "defer"; readonly event: WatchEvent; readonly ms: number };

export interface Fault {
  readonly name: string;
  /** @returns undefined to let it pass */
  request?(exchange: Exchange, nowMs: number): RequestAction | undefined;
  /** @param status what the API server answered */
  reply?(exchange: Exchange, status: number): ReplyAction | undefined;
  /** @returns undefined to pass the event on */
  event?(exchange: Exchange, event: WatchEvent, progress: WatchProgress): readonly WatchStep[] | undefined;
  /** What it does to the watches that are open when it is armed. */
  readonly onArm?: "endWatches" | "expireWatches";
  /** What it does to the watches that are open when it is lifted, so that what it kept back is asked for again. */
  readonly onLift?: "endWatches";
}

/** A Status object as the API server writes it. */
export function status(code: number, reason: string, message: string, extra: object = {}): Answer {
  return {
    status: code,
    body: {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      code,
      ...extra,
    },
  };
}

export function isBookmark(event: WatchEvent): boolean {
  return event.type === "BOOKMARK";
}

/** `namespace/name` of what an event tells of. */
export function keyOfEvent({ object }: WatchEvent): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;
}
