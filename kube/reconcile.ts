import type { Logger } from "./logger.ts";

/** What to work on: a name and no more. What happened to it is read from the caches. */
export interface Request {
  /** `namespace/name`, or `name` for a cluster-scoped kind. */
  readonly key: string;
  readonly namespace: string | undefined;
  readonly name: string;
}

export interface ReconcileContext {
  /** Aborts at the deadline of this reconcile and when the controller is stopped for good. */
  readonly signal: AbortSignal;
  /** Carries the controller, the key and an id of this run. */
  readonly logger: Logger;
  /** Failures of this key in series. */
  readonly retries: number;
}

/** When to come back, if nothing happens before. */
export interface Result {
  /** Waiting for something: come back after this time. No failure. */
  readonly requeueAfterMs?: number;
  /** Come back by the back-off of failures, without one being logged. */
  readonly requeue?: boolean;
}

/**
 * Makes the world more like the object with this key wants it, and may be called again at any time.
 * Level-based: it reads the present state, whatever event led here.
 *
 * | ends with | the key |
 * |---|---|
 * | nothing, `{}` | is done until the next event |
 * | `{ requeueAfterMs }` | comes back after that time; its failures are forgotten |
 * | `{ requeue: true }` | comes back after the rate limiter's wait |
 * | throws `ConflictError` of a version | the same, quietly: the cache was behind |
 * | throws `TerminalError` | is done until the next event; counted |
 * | throws | comes back after the rate limiter's wait; logged and counted |
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a reconcile without a return statement is the common case
export type Reconcile = (request: Request, context: ReconcileContext) => Promise<Result | undefined | void>;

/** A failure that another try can't mend, only a change of the object. */
export class TerminalError extends Error {
  readonly code = "KUBE_TERMINAL";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TerminalError";
  }
}

/** A reconcile ran past its deadline. */
export class ReconcileTimeoutError extends Error {
  readonly code = "KUBE_RECONCILE_TIMEOUT";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ReconcileTimeoutError";
  }
}

/** JavaScript's own errors come from a defect in the reconcile, as a panic does in Go. */
export function kindOf(error: unknown): "timeout" | "panic" | "error" {
  if (error instanceof ReconcileTimeoutError) {
    return "timeout";
  }
  const isDefect =
    error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  return isDefect || !(error instanceof Error) ? "panic" : "error";
}
