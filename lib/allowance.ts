/** A token bucket: how much of something may pass in a time. Pure: the caller tells the time. */

export interface AllowanceOptions {
  /** What may pass at once after a quiet time. */
  readonly burst: number;
  readonly perSecond: number;
}

export class Allowance {
  readonly #options: AllowanceOptions;
  #left: number;
  #atMs: number;

  constructor(options: AllowanceOptions, nowMs: number) {
    this.#options = options;
    this.#left = options.burst;
    this.#atMs = nowMs;
  }

  /** Takes up to `wanted` whole units and tells how many were had. */
  take(wanted: number, nowMs: number): number {
    this.#refill(nowMs);
    const taken = Math.min(wanted, Math.floor(this.#left));
    this.#left -= taken;
    return taken;
  }

  /** Milliseconds until `wanted` units can be had, were nothing taken meanwhile. */
  waitMs(wanted: number, nowMs: number): number {
    this.#refill(nowMs);
    return Math.max(0, ((wanted - this.#left) / this.#options.perSecond) * 1000);
  }

  /** Nothing has been taken for so long that it is as a new one. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left === this.#options.burst;
  }

  #refill(nowMs: number): void {
    const { burst, perSecond } = this.#options;
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#left = Math.min(burst, this.#left + (elapsedMs * perSecond) / 1000);
    this.#atMs = nowMs;
  }
}
