/**
 * Which guests may boot at the same time. A boot is work for a CPU from its first instruction to its last. Guests that
 * share the node's CPUs to boot are all late together; in turns the last one is ready no later, and all others earlier.
 */
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import type { Clock, Timer } from "../../lib/clock.ts";

export interface BootTurnsOptions {
  /** Guests that boot at the same time. */
  readonly slots: number;
  readonly clock: Clock;
}

/** A guest that has not told by then that it is up, for it asks nobody for an address, lets the next one boot. */
export const BOOT_HOLD_MS = 8_000;
/** Nobody waits longer than this, well within the time that a launcher gives the agent for its network. */
export const BOOT_WAIT_MS = 20_000;

export interface BootTurn {
  /** The guest is up, or has ended. Idempotent. */
  end(): void;
}

interface Waiting {
  readonly start: () => void;
  readonly timer: Timer;
}

export class BootTurns {
  readonly #slots: number;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();
  #taken = 0;

  constructor({ slots, clock }: BootTurnsOptions) {
    this.#slots = slots;
    this.#clock = clock;
  }

  /**
   * In the order of asking.
   * @throws the signal's reason when it aborts first
   */
  async take(signal: AbortSignal): Promise<BootTurn> {
    signal.throwIfAborted();
    return this.#taken < this.#slots ? this.#begin() : this.#wait(signal);
  }

  #wait(signal: AbortSignal): Promise<BootTurn> {
    const { promise, resolve, reject } = Promise.withResolvers<BootTurn>();
    const leave = (): void => {
      waiting.timer.cancel();
      signal.removeEventListener("abort", aborted);
      this.#waiting.delete(waiting);
    };
    const start = (): void => {
      leave();
      resolve(this.#begin());
    };
    const aborted = (): void => {
      leave();
      reject(signal.reason);
    };
    const waiting: Waiting = { start, timer: this.#clock.setTimeout(start, BOOT_WAIT_MS) };
    signal.addEventListener("abort", aborted, { once: true });
    this.#waiting.add(waiting);
    return promise;
  }

  #begin(): BootTurn {
    this.#taken++;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      this.#taken--;
      this.#callNext();
    };
    const timer = this.#clock.setTimeout(end, BOOT_HOLD_MS);
    return { end };
  }

  #callNext(): void {
    if (this.#taken >= this.#slots) return;
    const [next] = this.#waiting;
    next?.start();
  }
}

/** Whether a launcher's guest is past its boot, or will not go on with it by itself. */
export function hasBooted({ phase, paused, guestAgent, timeline }: LauncherStatus): boolean {
  const isUp = timeline.firstLease !== undefined || guestAgent !== undefined;
  return isUp || paused !== undefined || phase === "stopping" || phase === "stopped";
}
