/** Back-off between incarnations that fail one after the other: KubeVirt's formula. */

import { createHash } from "node:crypto";
import type { VirtualMachine, VirtualMachineStatus } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { rfc3339 } from "../../lib/time.ts";
import { NODE_UNRESPONSIVE } from "../vmi/disruption.ts";
import { runStrategyOf } from "./run-strategy.ts";

/** `lastFailedVMIUID` is the incarnation that was counted last, so that it is counted once. */
export type StartFailure = NonNullable<VirtualMachineStatus["startFailure"]>;

/** An incarnation that ran at least so long was no failed start, whatever ended it. */
export const STABLE_RUN_MS = 60_000;
const MAX_DELAY_MS = 300_000;

/** 10·n² seconds and up to half of it more, at most 300 s; `random` is 0 ≤ x < 1. */
export function backoffMs(consecutiveFailCount: number, random: number): number {
  const delay = 10_000 * consecutiveFailCount ** 2;
  return Math.min(MAX_DELAY_MS, delay + Math.floor((random * delay) / 2));
}

/** The VM's startFailure after what is seen now; undefined when nothing is held against it. */
export function startFailureAfter({
  vm,
  vmi,
  now,
}: {
  readonly vm: VirtualMachine;
  readonly vmi?: VirtualMachineInstance;
  readonly now: number;
}): StartFailure | undefined {
  const before = vm.status?.startFailure;
  // Nothing but these two starts a guest again by itself.
  if (!["Always", "RerunOnFailure"].includes(runStrategyOf(vm))) return undefined;
  if (vmi === undefined) return before;
  if (runTimeMs(vmi, now) >= STABLE_RUN_MS || vmi.status?.phase === "Succeeded") return undefined;
  const uid = vmi.metadata.uid ?? "";
  if (vmi.status?.phase !== "Failed" || before?.lastFailedVMIUID === uid) return before;
  const failedAt = Date.parse(transitionTime(vmi, "Failed") ?? new Date(now).toISOString());
  // A node that is lost says nothing against its guest, which is to move at once.
  if (vmi.status.reason === NODE_UNRESPONSIVE) return before;
  // Stopped on purpose: that it did not go down cleanly says nothing against the next start.
  if (failedAt > Date.parse(vmi.metadata.deletionTimestamp ?? "")) return before;
  const consecutiveFailCount = (before?.consecutiveFailCount ?? 0) + 1;
  const retryAt = failedAt + backoffMs(consecutiveFailCount, jitterOf(uid));
  return {
    consecutiveFailCount,
    lastFailedVMIUID: uid,
    retryAfterTimestamp: rfc3339(new Date(retryAt)),
  };
}

/** How long until a running VMI counts as a good start, while failed ones are held against its VM. */
export function stableInMs(vmi: VirtualMachineInstance, now: number): number | undefined {
  if (vmi.status?.phase !== "Running") return undefined;
  return Math.max(0, STABLE_RUN_MS - runTimeMs(vmi, now));
}

/** The same in every reconcile and every replica, so that the same failure always gives the same back-off. */
function jitterOf(uid: string): number {
  return createHash("sha256").update(uid).digest().readUInt32BE(0) / 2 ** 32;
}

/** From Running to the end, or until now. */
function runTimeMs(vmi: VirtualMachineInstance, now: number): number {
  const running = transitionTime(vmi, "Running");
  if (running === undefined) return 0;
  const end = transitionTime(vmi, "Failed") ?? transitionTime(vmi, "Succeeded");
  return (end === undefined ? now : Date.parse(end)) - Date.parse(running);
}

function transitionTime(vmi: VirtualMachineInstance, phase: string): string | undefined {
  return (
    vmi.status?.phaseTransitionTimestamps?.find((one) => one.phase === phase)?.phaseTransitionTimestamp ??
    undefined
  );
}

/** Milliseconds since the epoch from when the next start may be tried; 0 when nothing is held against it. */
export function retryTime(failure: StartFailure | undefined): number {
  const { retryAfterTimestamp } = failure ?? {};
  return retryAfterTimestamp === undefined || retryAfterTimestamp === null
    ? 0
    : Date.parse(retryAfterTimestamp);
}
