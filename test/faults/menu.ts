/** The faults that a VM's life is walked through, and how long each strikes. */
import { setTimeout } from "node:timers/promises";
import * as answers from "./answers.ts";
import type { Fault } from "./fault.ts";
import type { FaultProxy } from "./proxy.ts";
import * as streams from "./streams.ts";

export interface Dish {
  readonly fault: Fault;
  /** Fewer firings would prove nothing. */
  readonly leastFirings: number;
  /** Armed once the VMs exist, where the fault strikes what is there; before they are made unless told. */
  readonly isArmedLate?: boolean;
  /** Goes on beside the lives; may lift the fault itself. */
  readonly during?: (proxy: FaultProxy, untilFired: (times: number) => Promise<void>) => Promise<void>;
  /** What else must be true of the fault afterwards. */
  readonly check?: () => void;
}

export function menu(): readonly Dish[] {
  const bookmarks = streams.bookmarksOnly();
  const slow = streams.slowBytes("virtualmachines");
  const throttling = answers.throttled(8, 1);
  return [
    { fault: streams.droppedWatches(), leastFirings: 5 },
    { fault: streams.resetMidLine(3), leastFirings: 3 },
    { fault: streams.truncatedLines(3), leastFirings: 3 },
    { fault: answers.htmlPages(3, 4), leastFirings: 7 },
    { fault: answers.goneOnWatch(3), leastFirings: 5 },
    { fault: answers.goneOnContinue(2), leastFirings: 4, isArmedLate: true },
    {
      fault: throttling,
      leastFirings: 8,
      check: () => {
        if (throttling.early.length > 0) throw new Error(`came back before Retry-After: ${throttling.early}`);
      },
    },
    { fault: answers.serverErrors(10), leastFirings: 10 },
    { fault: answers.unavailable(5_000), leastFirings: 5 },
    { fault: answers.unauthorizedOnce(), leastFirings: 8 },
    { fault: answers.forbidden(10_000), leastFirings: 3 },
    { fault: answers.conflicts(), leastFirings: 5 },
    { fault: streams.lostReplies(), leastFirings: 8 },
    { fault: streams.duplicates(), leastFirings: 30 },
    { fault: streams.reordered(200), leastFirings: 3 },
    { fault: streams.storm(5_000, 4), leastFirings: 4 },
    { fault: streams.bigObjects(1_400_000), leastFirings: 30 },
    {
      fault: bookmarks,
      leastFirings: 2,
      during: async (proxy, untilFired) => {
        await untilFired(2);
        await proxy.lift(bookmarks);
      },
    },
    {
      fault: slow,
      leastFirings: 1,
      during: async (proxy, untilFired) => {
        await untilFired(1);
        await setTimeout(3_000);
        await proxy.lift(slow);
      },
    },
    { fault: answers.crdsGone(3_000), leastFirings: 3, isArmedLate: true },
    { fault: streams.halfOpen("virtualmachineinstances"), leastFirings: 1 },
  ];
}
