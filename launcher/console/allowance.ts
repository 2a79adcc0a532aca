/** A token bucket over bytes: how much of the guest's output the node's log gets. Pure: the caller tells the time. */

export interface AllowanceOptions {
  /** Bytes that may pass at once after a quiet time: a whole boot log. */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}

export class Allowance {
  readonly #options: AllowanceOptions;
  #bytes: number;
  #atMs: number;

  constructor(options: AllowanceOptions, nowMs: number) {
    this.#options = options;
    this.#bytes = options.burstBytes;
    this.#atMs = nowMs;
  }

  /** Takes up to `wanted` bytes and tells how many were had. */
  take(wanted: number, nowMs: number): number {
    this.#refill(nowMs);
    const taken = Math.min(wanted, Math.floor(this.#bytes));
    this.#bytes -= taken;
    return taken;
  }

  /** Milliseconds until `bytes` can be had, were nothing taken meanwhile. */
  waitMs(bytes: number, nowMs: number): number {
    this.#refill(nowMs);
    return Math.max(0, ((bytes - this.#bytes) / this.#options.bytesPerSecond) * 1000);
  }

  #refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#bytes = Math.min(
      this.#options.burstBytes,
      this.#bytes + (elapsedMs * this.#options.bytesPerSecond) / 1000,
    );
    this.#atMs = nowMs;
  }
}
