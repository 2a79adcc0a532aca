import type { Clock, Timer } from "../lib/clock.ts";
import { Heap, type HeapItem } from "./heap.ts";

/** Keys that wait for their time; one timer serves the earliest. */
export class DelayedKeys<T extends HeapItem> {
  readonly #clock: Clock;
  readonly #onDue: (entry: T) => void;
  readonly #heap = new Heap<T>();
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  /** @param onDue takes each key, which waits no longer then, when its time has come */
  constructor(clock: Clock, onDue: (entry: T) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  has(entry: T): boolean {
    return entry.place >= 0;
  }

  /** Makes it due after `delayMs`, or when it already would be, whichever is earlier. */
  add(entry: T, delayMs: number): void {
    const dueMs = this.#clock.monotonic() + delayMs;
    if (!this.has(entry)) {
      entry.dueMs = dueMs;
      this.#heap.push(entry);
    } else if (dueMs < entry.dueMs) {
      this.#heap.update(entry, dueMs);
    }
    this.#arm();
  }

  remove(entry: T): void {
    if (this.has(entry)) {
      this.#heap.remove(entry);
    }
  }

  /** Takes all out: none becomes due any more. */
  *drain(): Generator<T, void, void> {
    this.#timer?.cancel();
    for (let entry = this.#heap.pop(); entry !== undefined; entry = this.#heap.pop()) {
      yield entry;
    }
  }

  #arm(): void {
    const first = this.#heap.peek();
    if (first === undefined || first.dueMs >= this.#timerDueMs) {
      return;
    }
    this.#timer?.cancel();
    this.#timerDueMs = first.dueMs;
    // Rounded up: a timer that fires a fraction early would only have to be set again.
    const delayMs = Math.ceil(first.dueMs - this.#clock.monotonic());
    this.#timer = this.#clock.setTimeout(() => this.#fire(), delayMs);
  }

  #fire(): void {
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonic();
    for (
      let first = this.#heap.peek();
      first !== undefined && first.dueMs <= nowMs;
      first = this.#heap.peek()
    ) {
      this.#heap.remove(first);
      this.#onDue(first);
    }
    this.#arm();
  }
}
