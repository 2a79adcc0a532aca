import { type Clock, sleep, systemClock } from "./clock.ts";

/** The shape of an exponential back-off. */
export interface BackoffOptions {
  /** First delay, before jitter. */
  readonly initialMs: number;
  /** Largest delay, before jitter. */
  readonly maxMs: number;
  /** Growth per attempt; 2 unless told. */
  readonly factor?: number;
  /** A random part of the delay is added: up to `jitter` times it. 0.5 unless told; 0 for none. */
  readonly jitter?: number;
  /** The sequence starts anew when `next` was last called longer ago than this. Never, unless told. */
  readonly resetAfterMs?: number;
  /** Uniform in [0, 1); Math.random unless told. */
  readonly random?: () => number;
  readonly clock?: Clock;
}

/** Delay in ms before attempt number `attempt` (0 is the first retry); `random` is in [0, 1). */
export function backoffDelayMs(options: BackoffOptions, attempt: number, random: number): number {
  const { initialMs, maxMs, factor = 2, jitter = 0.5 } = options;
  const base = Math.min(initialMs * factor ** attempt, maxMs);
  return base * (1 + jitter * random);
}

/** Counts attempts and says how long to wait before the next. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  #attempt = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  /** Attempts since the start or the last reset. */
  get attempts(): number {
    return this.#attempt;
  }

  /** Milliseconds to wait now; each call counts as an attempt. */
  next(): number {
    const nowMs = this.#clock.monotonic();
    const { resetAfterMs } = this.#options;
    if (resetAfterMs !== undefined && nowMs - this.#lastMs > resetAfterMs) {
      this.#attempt = 0;
    }
    this.#lastMs = nowMs;
    const delayMs = backoffDelayMs(this.#options, this.#attempt, this.#random());
    this.#attempt += 1;
    return delayMs;
  }

  reset(): void {
    this.#attempt = 0;
  }

  /**
   * Waits for `next()` milliseconds.
   * @throws the signal's reason when it aborts first
   */
  wait(signal?: AbortSignal): Promise<void> {
    return sleep(this.next(), { clock: this.#clock, ...(signal !== undefined && { signal }) });
  }
}

export interface RetryOptions extends BackoffOptions {
  /** Runs of the operation, the first included. */
  readonly attempts: number;
  /** Whether a failure is worth another run; always, unless told. */
  readonly isRetriable?: (error: unknown) => boolean;
  readonly signal?: AbortSignal;
}

/**
 * Runs `operation` until it succeeds.
 * @throws the last failure when it is not retriable or the attempts are used up; the signal's reason when it aborts
 */
export async function retry<T>(
  operation: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { attempts, isRetriable = () => true, signal } = options;
  const backoff = new Backoff(options);
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      return await operation(attempt);
    } catch (error) {
      if (attempt + 1 >= attempts || !isRetriable(error)) {
        throw error;
      }
    }
    await backoff.wait(signal);
  }
}
