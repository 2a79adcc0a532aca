import { type Clock, systemClock } from "../lib/clock.ts";

/** Says how long a key must wait before it is tried again. */
export interface RateLimiter {
  /** Milliseconds to wait; counts as one more failure of the key. */
  when(key: string): number;
  /** Ends the key's series of failures. */
  forget(key: string): void;
  /** Failures of the key since `forget`. */
  retries(key: string): number;
}

/** 5 ms, 10 ms, 20 ms … 1000 s per key: client-go's ItemExponentialFailureRateLimiter. */
export class ItemExponentialFailureRateLimiter implements RateLimiter {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #failures = new Map<string, number>();

  constructor(baseMs = 5, maxMs = 1_000_000) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  when(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    return Math.min(this.#baseMs * 2 ** failures, this.#maxMs);
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  retries(key: string): number {
    return this.#failures.get(key) ?? 0;
  }
}

/** A few quick tries, then slow ones: client-go's ItemFastSlowRateLimiter. */
export class ItemFastSlowRateLimiter implements RateLimiter {
  readonly #fastMs: number;
  readonly #slowMs: number;
  readonly #maxFast: number;
  readonly #failures = new Map<string, number>();

  constructor(fastMs: number, slowMs: number, maxFast: number) {
    this.#fastMs = fastMs;
    this.#slowMs = slowMs;
    this.#maxFast = maxFast;
  }

  when(key: string): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    return failures <= this.#maxFast ? this.#fastMs : this.#slowMs;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  retries(key: string): number {
    return this.#failures.get(key) ?? 0;
  }
}

/** All keys together: `burst` at once, then `perSecond`. Each call reserves a token, also one of the future. */
export class BucketRateLimiter implements RateLimiter {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #clock: Clock;
  #tokens: number;
  #updatedMs: number;

  constructor(perSecond = 10, burst = 100, clock: Clock = systemClock) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#updatedMs = clock.monotonic();
  }

  when(_key?: string): number {
    const nowMs = this.#clock.monotonic();
    const refill = ((nowMs - this.#updatedMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill) - 1;
    this.#updatedMs = nowMs;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1000;
  }

  forget(_key: string): void {}

  retries(_key: string): number {
    return 0;
  }
}

/** The longest of several waits. */
export class MaxOfRateLimiter implements RateLimiter {
  readonly #limiters: readonly RateLimiter[];

  constructor(...limiters: readonly RateLimiter[]) {
    this.#limiters = limiters;
  }

  when(key: string): number {
    return Math.max(...this.#limiters.map((limiter) => limiter.when(key)));
  }

  forget(key: string): void {
    for (const limiter of this.#limiters) {
      limiter.forget(key);
    }
  }

  retries(key: string): number {
    return Math.max(...this.#limiters.map((limiter) => limiter.retries(key)));
  }
}

/** client-go's default: the key's own back-off or the common bucket, whichever is longer. */
export function defaultRateLimiter(clock: Clock = systemClock): RateLimiter {
  return new MaxOfRateLimiter(new ItemExponentialFailureRateLimiter(), new BucketRateLimiter(10, 100, clock));
}
