/** How often each pod may connect. Pure: the caller tells the time. */
import { Allowance } from "../../lib/allowance.ts";

/**
 * A launcher connects once, and again when its container or the agent starts anew; each time costs the node three
 * processes or more. Its own retries, which begin after 20 ms and double, stay within.
 */
export const ATTEMPTS_OF_A_POD = { burst: 8, perSecond: 4 };
/** Processes that are remembered as hasty; one more takes the longer way. */
const MAX_HASTY = 1024;

export class Attempts {
  /** Of the pods that have connected lately. */
  readonly #pods = new Map<string, Allowance>();
  /** When a process's pod may connect again, by the process's number. */
  readonly #hasty = new Map<number, number>();

  /**
   * Whether a process is known to have connected too often, without a look at anything else: a flood must cost the
   * agent less than whoever makes it. A number that has become another process's within the quarter of a second that
   * it is remembered costs that one a retry.
   */
  isHasty(pid: number, nowMs: number): boolean {
    const untilMs = this.#hasty.get(pid);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.#hasty.delete(pid);
    return false;
  }

  /** Counts one attempt; false where the pod has had too many. */
  take(podUid: string, pid: number, nowMs: number): boolean {
    for (const [other, allowance] of this.#pods) {
      if (allowance.isFull(nowMs)) this.#pods.delete(other);
    }
    const allowance = this.#pods.get(podUid) ?? new Allowance(ATTEMPTS_OF_A_POD, nowMs);
    this.#pods.set(podUid, allowance);
    if (allowance.take(1, nowMs) === 1) return true;
    if (this.#hasty.size >= MAX_HASTY) this.#hasty.clear();
    this.#hasty.set(pid, nowMs + allowance.waitMs(1, nowMs));
    return false;
  }
}
