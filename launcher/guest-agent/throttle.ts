/** A value that others pay for each change of: told at once, but ever more rarely while it keeps changing. */
import { isDeepStrictEqual } from "node:util";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock, Timer } from "../../lib/clock.ts";

/** A guest that flaps costs the API a write a minute; one that reboots is told of without delay. */
const PACE = { initialMs: 1_000, maxMs: 60_000, resetAfterMs: 180_000, jitter: 0 };

export class Throttle<T> {
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #onChange: () => void;
  #told: T;
  #wanted: T;
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  /** @param onChange `value` is another than before */
  constructor(initial: T, clock: Clock, onChange: () => void) {
    this.#told = initial;
    this.#wanted = initial;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#backoff = new Backoff({ ...PACE, clock });
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
    const waitMs = this.#nextAtMs - this.#clock.monotonic();
    if (waitMs > 0) {
      this.#timer = this.#clock.setTimeout(() => this.#tell(), waitMs);
      return;
    }
    this.#nextAtMs = this.#clock.monotonic() + this.#backoff.next();
    this.#told = this.#wanted;
    this.#onChange();
  }
}
