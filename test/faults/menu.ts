/**
 * The faults that VMs' lives are walked through. Where one strikes watches and another requests, they share a life:
 * each must strike as often as it would alone.
 */
import { setTimeout } from "node:timers/promises";
import * as answers from "./answers.ts";
import type { Fault } from "./fault.ts";
import type { FaultProxy } from "./proxy.ts";
import * as streams from "./streams.ts";

export interface Strike {
  readonly fault: Fault;
  /** Fewer firings would prove nothing. */
  readonly least: number;
}

export interface Dish {
  readonly strikes: readonly Strike[];
  /** Armed once the VMs exist, where the fault strikes what is there; before they are made unless told. */
  readonly isArmedLate?: boolean;
  /** Goes on beside the lives, until the signal aborts at the latest; may lift a fault itself. */
  readonly during?: (proxy: FaultProxy, signal: AbortSignal) => Promise<void>;
  /** @throws what else must be true of the faults afterwards */
  readonly check?: () => void;
}

const LOOK_MS = 20;

/** Anew for each meal: a fault counts what it has done. */
export function menu(): readonly Dish[] {
  return [
    {
      strikes: [
        { fault: streams.droppedWatches(), least: 5 },
        { fault: answers.serverErrors(10), least: 10 },
      ],
    },
    only(streams.resetMidLine(3), 3),
    {
      strikes: [
        { fault: streams.truncatedLines(3), least: 3 },
        { fault: answers.htmlPages(3, 4), least: 7 },
      ],
    },
    only(answers.goneOnWatch(3), 5),
    { ...only(answers.goneOnContinue(2), 4), isArmedLate: true },
    only(answers.unavailable(5_000), 5),
    only(answers.forbidden(10_000), 3),
    {
      strikes: [
        { fault: streams.duplicates(), least: 30 },
        { fault: streams.lostReplies(), least: 8 },
      ],
    },
    {
      // Not with a connection that breaks: whoever resumes after an event that overtook another has lost that one.
      strikes: [
        { fault: streams.reordered(200), least: 3 },
        { fault: answers.conflicts(), least: 5 },
      ],
    },
    {
      strikes: [
        { fault: streams.storm(5_000, 3), least: 3 },
        { fault: answers.unauthorizedOnce(), least: 8 },
      ],
    },
    bigAndThrottled(),
    liftedAfter(streams.bookmarksOnly(), 2, 0),
    liftedAfter(streams.slowBytes("virtualmachines"), 1, 3_000),
    { ...only(answers.crdsGone(3_000), 3), isArmedLate: true },
    only(streams.halfOpen("virtualmachineinstances"), 1),
  ];
}

export function nameOf({ strikes }: Dish): string {
  return strikes.map(({ fault }) => fault.name).join(" + ");
}

function only(fault: Fault, least: number): Dish {
  return { strikes: [{ fault, least }] };
}

function bigAndThrottled(): Dish {
  const throttling = answers.throttled(8, 1);
  return {
    strikes: [
      { fault: streams.bigObjects(1_400_000), least: 30 },
      { fault: throttling, least: 8 },
    ],
    check: () => {
      if (throttling.early.length > 0) throw new Error(`came back before Retry-After: ${throttling.early}`);
    },
  };
}

/** A fault under which nothing goes on: it is lifted so long after it has struck so often. */
function liftedAfter(fault: Fault, least: number, ms: number): Dish {
  return {
    ...only(fault, least),
    during: async (proxy, signal) => {
      while (proxy.fired(fault) < least) await setTimeout(LOOK_MS, undefined, { signal });
      await setTimeout(ms, undefined, { signal });
      await proxy.lift(fault);
    },
  };
}
