/**
 * What a requested start, stop or restart changes, by the VM's run strategy: as in KubeVirt, a strategy that would undo
 * it is changed, and the others are told by `status.stateChangeRequests`. Pure.
 */
import { type RunStrategy, type VirtualMachine, VM_CONDITIONS } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import {
  isLive,
  isNextWanted,
  isRestarting,
  openRequests,
  type Pair,
  runStrategyOf,
  type StateChangeRequest,
} from "../vm/run-strategy.ts";
import { conditionOf } from "../vmi/conditions.ts";
import { StatusError } from "./status.ts";

export type StateChangeAction = "start" | "stop" | "restart";

export interface StateChangeOptions {
  /** The guest of this start waits to be unpaused. */
  readonly paused?: boolean;
}

/** Written in this order. */
export interface StateChange {
  readonly requests?: readonly StateChangeRequest[];
  readonly runStrategy?: RunStrategy;
}

/** @throws StatusError Conflict, with what to do instead */
export function stateChange(
  action: StateChangeAction,
  pair: Pair,
  options: StateChangeOptions = {},
): StateChange {
  if (pair.vm.metadata.deletionTimestamp !== undefined) throw refusal(pair.vm, "is being deleted");
  if (action === "start") return start(pair, options);
  return action === "stop" ? stop(pair) : restart(pair);
}

function start(pair: Pair, { paused = false }: StateChangeOptions): StateChange {
  const { vm, vmi } = pair;
  const strategy = runStrategyOf(vm);
  if (isLive(vmi)) throw refusal(vm, "is running already");
  const request: StateChangeRequest = { action: "Start", ...(paused && { data: { paused: "true" } }) };
  switch (strategy) {
    case "Halted":
      return { ...(paused && { requests: [request] }), runStrategy: "Always" };
    case "Once":
      throw refusal(
        vm,
        "has the run strategy Once, which starts a guest a single time: set Manual or Always",
      );
    case "Always":
      // Also while what failed is still being cleared away.
      if (conditionOf(vm.status?.conditions, VM_CONDITIONS.failure)?.reason === "CrashLoopBackOff")
        return { requests: [request] };
      throw refusal(vm, "has the run strategy Always and is started without being asked");
    case "Manual":
    case "RerunOnFailure": {
      const open = openRequests(pair);
      if (open.some((one) => one.action === "Start")) throw refusal(vm, "has been asked to start already");
      return { requests: [...open, request] };
    }
  }
}

function stop(pair: Pair): StateChange {
  const { vm, vmi } = pair;
  const strategy = runStrategyOf(vm);
  switch (strategy) {
    case "Halted":
      throw refusal(vm, vmi !== undefined ? "is stopping already" : "is not running");
    case "Always":
    case "Once":
      return { runStrategy: "Halted" };
    case "Manual":
    case "RerunOnFailure":
      if (isLive(vmi)) return { requests: [stopOf(vmi)] };
      // A restart goes no further than its stop.
      if (isRestarting(pair)) return { requests: openRequests(pair).slice(0, 1) };
      // What only waits to be started, for a back-off for instance, is not started any more.
      if (!isNextWanted(pair)) throw refusal(vm, "is not running");
      return strategy === "Manual" ? { requests: [] } : { runStrategy: "Halted" };
  }
}

function restart({ vm, vmi }: Pair): StateChange {
  if (runStrategyOf(vm) === "Halted") throw refusal(vm, "is halted: start it instead");
  if (!isLive(vmi)) throw refusal(vm, "is not running: start it instead");
  return { requests: [stopOf(vmi), { action: "Start" }] };
}

function stopOf({ metadata }: VirtualMachineInstance): StateChangeRequest {
  return { action: "Stop", ...(metadata.uid !== undefined && { uid: metadata.uid }) };
}

function refusal({ metadata }: VirtualMachine, what: string): StatusError {
  return new StatusError("Conflict", `virtual machine ${metadata.namespace}/${metadata.name} ${what}`);
}
