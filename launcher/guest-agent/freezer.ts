/** Freezes the guest's file systems, and makes sure that they don't stay frozen when whoever asked for it is gone. */
import { Backoff } from "../../lib/backoff.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { Log } from "../log.ts";
import type { AgentChannel } from "./channel.ts";
import { FREEZE, FREEZE_STATUS, THAW } from "./commands.ts";
import { GuestAgentError } from "./errors.ts";

const RETRY = { initialMs: 2_000, maxMs: 60_000 };

export interface FreezerOptions {
  readonly channel: Pick<AgentChannel, "ask">;
  readonly clock: Clock;
  readonly log: Log;
  /** Known at once, before the next poll tells it. */
  readonly onFrozen: (frozen: boolean) => void;
}

export class Freezer {
  readonly #options: FreezerOptions;
  #safety: Timer | undefined;

  constructor(options: FreezerOptions) {
    this.#options = options;
  }

  /**
   * A guest that is frozen already stays so, for the new request's time.
   * @param timeoutMs the guest is let write again after so long; 0: not by itself
   * @throws GuestAgentError
   */
  async freeze(timeoutMs: number): Promise<void> {
    const { channel, onFrozen } = this.#options;
    const isFrozen = await channel.ask(FREEZE_STATUS);
    // Armed first: a guest whose answer gets lost may be frozen nevertheless.
    this.#arm(timeoutMs);
    try {
      if (!isFrozen) await channel.ask(FREEZE);
    } catch (error) {
      if (error instanceof GuestAgentError && error.code === "GuestAgentRefused") this.#disarm();
      throw error;
    }
    onFrozen(true);
  }

  /** @throws GuestAgentError */
  async unfreeze(): Promise<void> {
    const safety = this.#safety;
    await this.#thaw();
    // A thaw that failed leaves its time to a guest that may be frozen still; a freeze that came meanwhile has its own.
    if (this.#safety === safety) this.#disarm();
  }

  close(): void {
    this.#disarm();
  }

  /** A guest that isn't frozen is left alone: thawing would run its hooks. True where it was. */
  async #thaw(): Promise<boolean> {
    const { channel, onFrozen } = this.#options;
    const isFrozen = await channel.ask(FREEZE_STATUS);
    if (isFrozen) await channel.ask(THAW);
    onFrozen(false);
    return isFrozen;
  }

  #arm(timeoutMs: number): void {
    this.#disarm();
    if (timeoutMs === 0) return;
    const { clock, log } = this.#options;
    const backoff = new Backoff({ ...RETRY, clock });
    const thaw = async (timer: Timer) => {
      try {
        const wasFrozen = await this.#thaw();
        if (wasFrozen)
          log.warn({}, "the guest was still frozen when its time was over, and was let write again");
        if (this.#safety === timer) this.#safety = undefined;
      } catch (error) {
        log.error({ err: error }, "cannot let the guest write again; trying on");
        // Unless an unfreeze, or another freeze, came meanwhile.
        if (this.#safety === timer) this.#safety = after(backoff.next());
      }
    };
    const after = (delayMs: number): Timer => {
      const timer: Timer = clock.setTimeout(() => void thaw(timer), delayMs);
      return timer;
    };
    this.#safety = after(timeoutMs);
  }

  #disarm(): void {
    this.#safety?.cancel();
    this.#safety = undefined;
  }
}
