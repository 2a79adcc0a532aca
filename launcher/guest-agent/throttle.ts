/** A value that others pay for each change of: told at once, unless it changes all the time. */
import { isDeepStrictEqual } from "node:util";
import type { Clock, Timer } from "../../lib/clock.ts";

/** Changes in a row that are told at once: a guest that reboots, a backup that freezes it a few times. */
const BURST = 10;
/** One more is earned in so long: a guest that flaps costs the API a write a minute. */
const REFILL_MS = 60_000;

export class Throttle<T> {
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #told: T;
  #wanted: T;
  #tokens = BURST;
  #countedAtMs: number;
  #timer: Timer | undefined;

  /** @param onChange `value` is another than before */
  constructor(initial: T, clock: Clock, onChange: () => void) {
    this.#told = initial;
    this.#wanted = initial;
    this.#clock = clock;
    this.#countedAtMs = clock.monotonic();
    this.#onChange = onChange;
  }

  /** As told. */
  get value(): T {
    return this.#told;
  }

  set(value: T): void {
    this.#wanted = value;
    this.#tell();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tell(): void {
    this.close();
    if (isDeepStrictEqual(this.#told, this.#wanted)) return;
    this.#count();
    if (this.#tokens < 1) {
      this.#timer = this.#clock.setTimeout(() => this.#tell(), Math.ceil((1 - this.#tokens) * REFILL_MS));
      return;
    }
    this.#tokens -= 1;
    this.#told = this.#wanted;
    this.#onChange();
  }

  #count(): void {
    const nowMs = this.#clock.monotonic();
    this.#tokens = Math.min(BURST, this.#tokens + (nowMs - this.#countedAtMs) / REFILL_MS);
    this.#countedAtMs = nowMs;
  }
}
