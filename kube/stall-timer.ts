import type { Clock, Timer } from "../lib/clock.ts";
import { TimeoutError } from "./errors.ts";

/**
 * Aborts its signal when a whole interval passes without a beat, and when the caller's signal aborts.
 * One timer however many beats, so the reaction takes between one and two intervals.
 */
export class StallTimer {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #dispose: () => void;
  #isAlive = false;

  /** @param action what is under way, for the TimeoutError that the signal aborts with */
  constructor(clock: Clock, intervalMs: number, action: string, caller: AbortSignal) {
    this.signal = this.#controller.signal;
    let timer: Timer;
    const arm = () => {
      timer = clock.setTimeout(() => {
        if (this.#isAlive) {
          this.#isAlive = false;
          arm();
        } else {
          this.#controller.abort(new TimeoutError(`${action}: nothing whole came for ${intervalMs} ms`));
        }
      }, intervalMs);
    };
    arm();
    const onAbort = () => this.#controller.abort(caller.reason);
    caller.addEventListener("abort", onAbort, { once: true });
    if (caller.aborted) {
      onAbort();
    }
    this.#dispose = () => {
      timer.cancel();
      caller.removeEventListener("abort", onAbort);
    };
  }

  beat(): void {
    this.#isAlive = true;
  }

  dispose(): void {
    this.#dispose();
  }
}
