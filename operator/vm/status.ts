/** The status of a VM as it should read: what `kubectl get vm` tells. Pure. */

import { isDeepStrictEqual } from "node:util";
import { ANNOTATION_STARTED_TEMPLATE, ANNOTATION_VM_GENERATION } from "../../api/names.ts";
import { type VirtualMachine, type VirtualMachineStatus, VM_CONDITIONS } from "../../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { rfc3339 } from "../../lib/time.ts";
import { conditionOf, isTrue, mergeConditions, type WantedCondition } from "../vmi/conditions.ts";
import { NODE_UNRESPONSIVE } from "../vmi/disruption.ts";
import type { Problem } from "../vmi/problem.ts";
import { isFinal, NOT_RUNNING } from "../vmi/status.ts";
import {
  completion,
  isInstanceUnwanted,
  isNextWanted,
  isRestarting,
  isStartAsked,
  openRequests,
  runStrategyOf,
  type StateChangeRequest,
} from "./run-strategy.ts";
import { retryTime, type StartFailure } from "./start-failure.ts";

export interface StatusInput {
  readonly vm: VirtualMachine;
  readonly vmi?: VirtualMachineInstance;
  readonly foreign?: boolean;
  /** The VMI is made in this very reconcile. */
  readonly isStarting?: boolean;
  /** Why the VMI could not be made a moment ago. */
  readonly createFailure?: Problem;
  readonly failure?: StartFailure;
  readonly now: Date;
}

export function wantedStatus(input: StatusInput): VirtualMachineStatus {
  const { vm, vmi, isStarting, failure, now } = input;
  const before: VirtualMachineStatus = vm.status ?? {};
  const { startFailure: _, stateChangeRequests: __, ...rest } = before;
  const requests = requestsAfter(input);
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
      : {
          desiredGeneration: vm.metadata.generation,
          observedGeneration: startedGeneration(vm, vmi) ?? vm.metadata.generation,
        }),
    ...(failure === undefined ? {} : { startFailure: failure }),
    ...(requests.length === 0 ? {} : { stateChangeRequests: [...requests] }),
  };
}

/** The start that is carried out in this very reconcile is done. */
function requestsAfter(input: StatusInput): readonly StateChangeRequest[] {
  const open = openRequests(input);
  return input.isStarting && isStartAsked(input) ? open.slice(1) : open;
}

type PrintableStatus = NonNullable<VirtualMachineStatus["printableStatus"]>;

/** KubeVirt's order of precedence: the first that applies. */
export function printableStatus(input: StatusInput): PrintableStatus {
  const { vm, vmi, isStarting, failure, now } = input;
  if (vm.metadata.deletionTimestamp !== undefined) return "Terminating";
  if (vmi !== undefined) {
    const isLeaving = vmi.metadata.deletionTimestamp !== undefined || isInstanceUnwanted(input);
    if (isLeaving && !isFinal(vmi)) return "Stopping";
    if (conditionOf(vmi.status?.conditions, "Ready")?.reason === NODE_UNRESPONSIVE) return "Unknown";
    if (isTrue(vmi.status?.conditions, "Paused")) return "Paused";
    if (vmi.status?.phase === "Running") return "Running";
    const stuck = conditionOf(vmi.status?.conditions, "Synchronized");
    if (stuck?.reason === "FailedPvcNotFound") return "ErrorPvcNotFound";
    if (conditionOf(vmi.status?.conditions, "PodScheduled")?.reason === "Unschedulable")
      return "ErrorUnschedulable";
    if (isTrue(vmi.status?.conditions, "Provisioning")) return "WaitingForVolumeBinding";
    if (stuck?.reason === "ImagePullBackOff") return "ImagePullBackOff";
    if (stuck?.reason !== undefined && IMAGE_ERRORS.includes(stuck.reason)) return "ErrImagePull";
    if (!isFinal(vmi)) return "Starting";
  }
  if (isStarting || isRestarting(input)) return "Starting";
  if (!isNextWanted(input)) return "Stopped";
  return isBackingOff(failure, now) && !isStartAsked(input) ? "CrashLoopBackOff" : "Starting";
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

/** Conditions of the VMI's that its VM says as well. */
const COPIED = [
  "PodScheduled",
  "Provisioning",
  "Synchronized",
  "Paused",
  "NodeAgentReady",
  "EvictionRequested",
] as const;

/** What the VM says of its VMI: readiness, and whatever stands in the way. */
function conditionsOf(input: StatusInput): WantedCondition[] {
  const { vm, vmi, foreign, isStarting, createFailure, failure, now } = input;
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
  if (createFailure !== undefined) {
    conditions.push({ type: "Failure", status: "True", ...createFailure });
  } else if (failure !== undefined && isBackingOff(failure, now)) {
    const message = backOffMessage(vm, vmi, failure);
    conditions.push({ type: "Failure", status: "True", reason: "CrashLoopBackOff", message });
  }
  const completed = isStarting ? undefined : completion(input);
  if (completed !== undefined) conditions.push(copied(completed));
  if (isRestartRequired(vm, vmi)) {
    conditions.push({
      type: VM_CONDITIONS.restartRequired,
      status: "True",
      reason: "TemplateChanged",
      message:
        "spec.template has changed since the guest was started; the change takes effect at its next start",
    });
  }
  for (const type of COPIED) {
    const condition = conditionOf(vmi?.status?.conditions, type);
    if (condition !== undefined) conditions.push(copied(condition));
  }
  return conditions;
}

/** Of the spec that the VMI was made from; undefined as well where the VM's template is still the same. */
function startedGeneration(vm: VirtualMachine, vmi: VirtualMachineInstance | undefined): number | undefined {
  const generation = Number(vmi?.metadata.annotations?.[ANNOTATION_VM_GENERATION]);
  if (!Number.isSafeInteger(generation) || generation === vm.metadata.generation) return undefined;
  return isDeepStrictEqual(startedTemplate(vmi), vm.spec.template) ? undefined : generation;
}

/** True when a guest that lives on was started from another template than the VM has now. */
function isRestartRequired(vm: VirtualMachine, vmi: VirtualMachineInstance | undefined): boolean {
  const isLeaving = vm.metadata.deletionTimestamp ?? vmi?.metadata.deletionTimestamp;
  if (vmi === undefined || isLeaving !== undefined || isFinal(vmi) || runStrategyOf(vm) === "Halted")
    return false;
  const started = startedTemplate(vmi);
  return started !== undefined && !isDeepStrictEqual(started, vm.spec.template);
}

/** undefined as well for what is no JSON: nobody but the operator may write the annotation, so nothing is known then. */
function startedTemplate(vmi: VirtualMachineInstance | undefined): unknown {
  const text = vmi?.metadata.annotations?.[ANNOTATION_STARTED_TEMPLATE];
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Says why the last incarnation failed, also when that is gone: then as it was said while it was there. */
function backOffMessage(
  vm: VirtualMachine,
  vmi: VirtualMachineInstance | undefined,
  { consecutiveFailCount: count, retryAfterTimestamp }: StartFailure,
): string {
  const said = conditionOf(vm.status?.conditions, "Failure");
  const hasFailed = vmi !== undefined && isFinal(vmi);
  if (!hasFailed && said?.reason === "CrashLoopBackOff" && said.message !== undefined) return said.message;
  const why = hasFailed ? conditionOf(vmi.status?.conditions, "Ready")?.message : undefined;
  const times = count === 1 ? "the start failed" : `${count} starts in a row failed`;
  return `${times}, the next one is due at ${retryAfterTimestamp}: ${why ?? "see the virtual machine's events"}`;
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
