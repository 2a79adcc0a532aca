/** Exponential back-off with jitter: the delays before each new try of something that failed. */

export interface BackoffOptions {
  /** Middle of the first delay, in milliseconds. */
  readonly initialMs: number;
  /** Upper bound of every delay, in milliseconds. */
  readonly maxMs: number;
  /** Growth from one delay to the next. Default 2. */
  readonly factor?: number;
  /** Largest deviation to either side, as a share of the delay, so that many clients do not come back at once. Default 0.2. */
  readonly jitter?: number;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
}

export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #failures = 0;

  constructor({ initialMs, maxMs, factor = 2, jitter = 0.2, random = Math.random }: BackoffOptions) {
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
    this.#factor = factor;
    this.#jitter = jitter;
    this.#random = random;
  }

  /** Delay before the next try, in milliseconds; each call counts as one more failure. */
  next(): number {
    const delay = Math.min(this.#maxMs, this.#initialMs * this.#factor ** this.#failures);
    this.#failures += 1;
    return Math.min(this.#maxMs, delay * (1 + this.#jitter * (2 * this.#random() - 1)));
  }

  /** To be called after a success: the next failure starts from the first delay again. */
  reset(): void {
    this.#failures = 0;
  }
}
