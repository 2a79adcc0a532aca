import { type Clock, sleep } from "../lib/clock.ts";
import { TimeoutError } from "./errors.ts";

/** A deadline joined with the caller's signal. */
export class Deadline {
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #dueMs: number;
  readonly #controller = new AbortController();
  readonly #dispose: () => void;
  readonly #disarm: () => void;

  constructor(clock: Clock, timeoutMs: number, action: string, caller: AbortSignal | undefined) {
    this.#clock = clock;
    this.#dueMs = clock.monotonic() + timeoutMs;
    this.signal = this.#controller.signal;
    const timer = clock.setTimeout(
      () => this.#controller.abort(new TimeoutError(`${action}: no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = () => this.#controller.abort(caller?.reason);
    if (caller?.aborted === true) {
      onAbort();
    }
    caller?.addEventListener("abort", onAbort, { once: true });
    this.#disarm = () => timer.cancel();
    this.#dispose = () => {
      timer.cancel();
      caller?.removeEventListener("abort", onAbort);
    };
  }

  remainingMs(): number {
    return this.#dueMs - this.#clock.monotonic();
  }

  /** Ends the deadline; the caller's signal keeps working. */
  disarm(): void {
    this.#disarm();
  }

  dispose(): void {
    this.#dispose();
  }

  /** Waits; throws the signal's reason when it aborts. */
  sleep(delayMs: number): Promise<void> {
    return sleep(delayMs, { clock: this.#clock, signal: this.signal });
  }
}
