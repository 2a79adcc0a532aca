/**
 * What a run strategy wants of a VM, and which start or stop that somebody asked for is still to be carried out. Pure.
 * The strategies and `status.stateChangeRequests` are KubeVirt's.
 */
import {
  type RunStrategy,
  type VirtualMachine,
  type VirtualMachineStatus,
  VM_CONDITIONS,
} from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { conditionOf, isTrue, type WantedCondition } from "../vmi/conditions.ts";
import { isFinal } from "../vmi/status.ts";

export type StateChangeRequest = NonNullable<VirtualMachineStatus["stateChangeRequests"]>[number];

export interface Pair {
  readonly vm: VirtualMachine;
  /** The VM's own. */
  readonly vmi?: VirtualMachineInstance;
}

export function runStrategyOf(vm: VirtualMachine): RunStrategy {
  if (vm.spec.runStrategy !== undefined) return vm.spec.runStrategy;
  return vm.spec.running === true ? "Always" : "Halted";
}

/** What was asked for and isn't done yet. Nothing is begun before what was asked for earlier. */
export function openRequests({ vm, vmi }: Pair): readonly StateChangeRequest[] {
  const requests = (vm.status?.stateChangeRequests ?? []).filter(
    (request) => runStrategyOf(vm) !== "Halted" || isPausedStart(request),
  );
  const firstOpen = requests.findIndex((request) => !isDone(request, vmi));
  return firstOpen === -1 ? [] : requests.slice(firstOpen);
}

function isDone({ action, uid }: StateChangeRequest, vmi: VirtualMachineInstance | undefined): boolean {
  if (action === "Stop") return vmi === undefined || (uid !== undefined && uid !== vmi.metadata.uid);
  return isLive(vmi);
}

/** It is there, has not ended, and is not told to go. */
export function isLive(vmi: VirtualMachineInstance | undefined): vmi is VirtualMachineInstance {
  return vmi !== undefined && !isFinal(vmi) && vmi.metadata.deletionTimestamp === undefined;
}

/** A start of a halted VM, whose strategy is about to change: `start --paused` writes this first. */
function isPausedStart({ action, data }: StateChangeRequest): boolean {
  return action === "Start" && data?.["paused"] === "true";
}

function isStopAsked(pair: Pair): boolean {
  return openRequests(pair)[0]?.action === "Stop";
}

export function isStartAsked(pair: Pair): boolean {
  const [first] = openRequests(pair);
  return runStrategyOf(pair.vm) !== "Halted" && first?.action === "Start";
}

/** Its guest ends or has ended because it was asked to, and the next is asked for already. */
export function isRestarting(pair: Pair): boolean {
  const [first, ...others] = openRequests(pair);
  return first?.action === "Stop" && others.some(({ action }) => action === "Start");
}

/** The next VMI is made so that its guest waits to be unpaused. */
export function isPauseAsked(pair: Pair): boolean {
  const [first] = openRequests(pair);
  return first !== undefined && isStartAsked(pair) && isPausedStart(first);
}

/** Another VMI is wanted where there is none, or none that lives. */
export function isNextWanted(pair: Pair): boolean {
  switch (runStrategyOf(pair.vm)) {
    case "Always":
      return true;
    case "Halted":
      return false;
    case "Manual":
      return isStartAsked(pair);
    case "RerunOnFailure":
    case "Once":
      return isStartAsked(pair) || completion(pair) === undefined;
  }
}

/** The VMI, finished or not, is to go. */
export function isInstanceUnwanted({ vm, vmi }: Pair): boolean {
  if (vmi === undefined) return false;
  if (isStopAsked({ vm, vmi })) return true;
  switch (runStrategyOf(vm)) {
    case "Halted":
      return true;
    case "Always":
      return isFinal(vmi);
    case "RerunOnFailure":
      // That the guest succeeded has to be on record before its VMI, which says so, goes.
      return isFinal(vmi) && (vmi.status?.phase === "Failed" || isCompleted(vm) || isStartAsked({ vm, vmi }));
    case "Manual":
    case "Once":
      // A finished VMI is left to be looked at.
      return isFinal(vmi) && isStartAsked({ vm, vmi });
  }
}

/**
 * Why the VM is not started again, as a condition, which outlives the VMI; undefined where nothing has completed it.
 * As with a Job, the condition is the record.
 */
export function completion({ vm, vmi }: Pair): WantedCondition | undefined {
  const strategy = runStrategyOf(vm);
  if (strategy !== "RerunOnFailure" && strategy !== "Once") return undefined;
  if (vmi === undefined)
    return isCompleted(vm) ? conditionOf(vm.status?.conditions, VM_CONDITIONS.completed) : undefined;
  if (isStopAsked({ vm, vmi })) return completed(strategy, "Stopped", "the guest was stopped on request");
  const { phase } = vmi.status ?? {};
  if (phase === "Succeeded") return completed(strategy, "Succeeded", "the guest has powered off");
  if (strategy !== "Once") return undefined;
  if (phase === "Failed") return completed(strategy, "Failed", "the guest has failed");
  if (vmi.metadata.deletionTimestamp !== undefined)
    return completed(strategy, "Deleted", "the instance was deleted");
  return undefined;
}

function completed(strategy: "RerunOnFailure" | "Once", reason: string, what: string): WantedCondition {
  const next =
    strategy === "Once"
      ? "under runStrategy Once it is not started again: set another"
      : "a start has to be asked for: virtpod start";
  const message = `${what}; ${next}`;
  return { type: VM_CONDITIONS.completed, status: "True", reason, message };
}

function isCompleted(vm: VirtualMachine): boolean {
  return isTrue(vm.status?.conditions, VM_CONDITIONS.completed);
}
