import type { Clock, Timer } from "./clock.ts";

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #epochMs: number;
  #elapsedMs = 0;
  #order = 0;
  readonly #entries = new Set<Entry>();

  /** @param epochMs what `now()` answers at first */
  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.#epochMs = epochMs;
  }

  now(): number {
    return this.#epochMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const entry = { dueMs: this.#elapsedMs + Math.max(delayMs, 0), order: this.#order++, callback };
    this.#entries.add(entry);
    return { cancel: () => void this.#entries.delete(entry) };
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Milliseconds until the next timer, or undefined without one. */
  get nextInMs(): number | undefined {
    const first = this.#first();
    return first === undefined ? undefined : first.dueMs - this.#elapsedMs;
  }

  /** Moves time on and runs what falls due, in order of due time; a timer set on the way runs too if due. */
  advance(durationMs: number): void {
    const target = this.#elapsedMs + durationMs;
    for (let next = this.#first(); next !== undefined && next.dueMs <= target; next = this.#first()) {
      this.#entries.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.callback();
    }
    this.#elapsedMs = target;
  }

  /** Moves only the wall clock, as NTP or an administrator does. */
  jump(deltaMs: number): void {
    this.#epochMs += deltaMs;
  }

  #first(): Entry | undefined {
    let first: Entry | undefined;
    for (const entry of this.#entries) {
      if (
        first === undefined ||
        entry.dueMs < first.dueMs ||
        (entry.dueMs === first.dueMs && entry.order < first.order)
      ) {
        first = entry;
      }
    }
    return first;
  }
}
