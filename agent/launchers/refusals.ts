/**
 * Who was turned away, counted by the reason's code. The log tells the first of each at once and the rest in sums, for
 * a caller that comes again and again must not fill the node's disk.
 */
import type { Logger } from "pino";
import { type Clock, systemClock, type Timer } from "../../lib/clock.ts";

/** At most one line for each code in this time, in milliseconds. */
export const REFUSAL_LOG_INTERVAL_MS = 10_000;

interface Held {
  /** Since the last line. */
  count: number;
  message: string;
}

export class Refusals {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #counts = new Map<string, number>();
  /** Codes that were told lately, with what has come since. */
  readonly #held = new Map<string, Held>();
  readonly #timers = new Map<string, Timer>();

  constructor(log: Logger, clock: Clock = systemClock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Since the start, by code. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** @param code one of a closed set: it is kept for ever */
  add(code: string, message: string): void {
    const total = (this.#counts.get(code) ?? 0) + 1;
    this.#counts.set(code, total);
    const held = this.#held.get(code);
    if (held !== undefined) {
      held.count += 1;
      held.message = message;
      return;
    }
    this.#log.warn({ code, total }, `turned a caller away: ${message}`);
    this.#hold(code);
  }

  /** Tells what was held back, and holds nothing any more. */
  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    for (const code of [...this.#held.keys()]) this.#tell(code);
    this.#held.clear();
  }

  #hold(code: string): void {
    this.#held.set(code, { count: 0, message: "" });
    const timer = this.#clock.setTimeout(() => {
      this.#timers.delete(code);
      // As long as they go on coming, in sums only.
      if (this.#tell(code)) this.#hold(code);
      else this.#held.delete(code);
    }, REFUSAL_LOG_INTERVAL_MS);
    this.#timers.set(code, timer);
  }

  #tell(code: string): boolean {
    const { count, message } = this.#held.get(code) ?? { count: 0, message: "" };
    if (count === 0) return false;
    const total = this.#counts.get(code);
    this.#log.warn({ code, count, total }, `turned ${count} more callers away, the last because: ${message}`);
    return true;
  }
}
