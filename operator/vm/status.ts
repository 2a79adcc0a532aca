/** The status of a VM as it should read: what `kubectl get vm` tells. Pure. */
import type { VirtualMachine, VirtualMachineStatus } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { conditionOf, isTrue, mergeConditions, type WantedCondition } from "../vmi/conditions.ts";
import { isFinal, NOT_RUNNING } from "../vmi/status.ts";
import { retryTime, type StartFailure } from "./start-failure.ts";

export interface StatusInput {
  readonly vm: VirtualMachine;
  readonly vmi?: VirtualMachineInstance;
  readonly foreign?: boolean;
  /** The VMI is made in this very reconcile. */
  readonly isStarting?: boolean;
  readonly failure?: StartFailure;
  readonly now: Date;
}

export function runStrategyOf(vm: VirtualMachine): "Always" | "Halted" {
  if (vm.spec.runStrategy !== undefined) return vm.spec.runStrategy;
  return vm.spec.running === true ? "Always" : "Halted";
}

export function wantedStatus(input: StatusInput): VirtualMachineStatus {
  const { vm, vmi, isStarting, failure, now } = input;
  const before: VirtualMachineStatus = vm.status ?? {};
  const { startFailure: _, ...rest } = before;
  const isReady = vmi !== undefined && isTrue(vmi.status?.conditions, "Ready");
  const created = (vmi !== undefined || isStarting === true) && !(vmi !== undefined && isFinal(vmi));
  return {
    ...rest,
    created,
    ready: isReady,
    printableStatus: printableStatus(input),
    runStrategy: runStrategyOf(vm),
    conditions: mergeConditions(before.conditions ?? [], conditionsOf(input), rfc3339(now)),
    ...(vm.metadata.generation === undefined
      ? {}
      : { desiredGeneration: vm.metadata.generation, observedGeneration: vm.metadata.generation }),
    ...(failure === undefined ? {} : { startFailure: failure }),
  };
}

type PrintableStatus = NonNullable<VirtualMachineStatus["printableStatus"]>;

/** KubeVirt's order of precedence: the first that applies. */
export function printableStatus({ vm, vmi, isStarting, failure, now }: StatusInput): PrintableStatus {
  if (vm.metadata.deletionTimestamp !== undefined) return "Terminating";
  const shouldRun = runStrategyOf(vm) === "Always";
  if (vmi !== undefined) {
    if (vmi.metadata.deletionTimestamp !== undefined || !shouldRun) return "Stopping";
    if (isTrue(vmi.status?.conditions, "Paused")) return "Paused";
    if (vmi.status?.phase === "Running") return "Running";
    const stuck = conditionOf(vmi.status?.conditions, "Synchronized");
    if (conditionOf(vmi.status?.conditions, "PodScheduled")?.reason === "Unschedulable")
      return "ErrorUnschedulable";
    if (stuck?.reason === "ImagePullBackOff") return "ImagePullBackOff";
    if (stuck?.reason !== undefined && IMAGE_ERRORS.includes(stuck.reason)) return "ErrImagePull";
    if (!isFinal(vmi)) return "Starting";
  }
  if (shouldRun && isBackingOff(failure, now)) return "CrashLoopBackOff";
  if (isStarting) return "Starting";
  if (vmi !== undefined && isFinal(vmi)) return shouldRun ? "Starting" : "Stopped";
  return shouldRun ? "Starting" : "Stopped";
}

const IMAGE_ERRORS: readonly string[] = [
  "ErrImagePull",
  "ErrImageNeverPull",
  "InvalidImageName",
  "ImageInspectError",
];

function isBackingOff(failure: StartFailure | undefined, now: Date): boolean {
  return retryTime(failure) > now.getTime();
}

/** What the VM says of its VMI: readiness, and whatever stands in the way. */
function conditionsOf({ vm, vmi, foreign, isStarting, failure, now }: StatusInput): WantedCondition[] {
  const conditions: WantedCondition[] = [];
  conditions.push(copied(conditionOf(vmi?.status?.conditions, "Ready") ?? unknownReadiness(vmi, isStarting)));
  if (foreign) {
    conditions.push({
      type: "Failure",
      status: "True",
      reason: "InstanceNotOwned",
      message:
        `a virtual machine instance named ${vm.metadata.name} exists that this virtual machine does not own; ` +
        "delete it or rename the virtual machine",
    });
  }
  if (isBackingOff(failure, now)) {
    conditions.push({
      type: "Failure",
      status: "True",
      reason: "CrashLoopBackOff",
      message:
        `the guest failed ${failure?.consecutiveFailCount} times in a row; the next start is due at ` +
        `${failure?.retryAfterTimestamp}. Read its console: kubectl logs of its launcher pod`,
    });
  }
  for (const type of ["PodScheduled", "Synchronized", "Paused"]) {
    const condition = conditionOf(vmi?.status?.conditions, type);
    if (condition !== undefined) conditions.push(copied(condition));
  }
  return conditions;
}

function unknownReadiness(
  vmi: VirtualMachineInstance | undefined,
  isStarting: boolean | undefined,
): WantedCondition {
  if (vmi !== undefined || isStarting === true) return NOT_RUNNING;
  return { type: "Ready", status: "False", reason: "VMINotExists", message: "VMI does not exist" };
}

function copied({ type, status, reason, message }: WantedCondition): WantedCondition {
  return {
    type,
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
