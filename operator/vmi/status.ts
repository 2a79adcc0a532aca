/**
 * The status of a VMI as it should read: a pure function of the VMI, its launcher pod and what the agent tells.
 * The pod says whether anything runs at all; the launcher, through the agent, says what the guest does.
 */
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import { LAUNCHER_UID } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type {
  VirtualMachineInstancePhase,
  VirtualMachineInstanceStatus,
} from "../../api/virtual-machine-instance-status.ts";
import { addressConditions } from "./addresses.ts";
import { isTrue, mergeConditions, type WantedCondition } from "./conditions.ts";
import { type DisruptionInput, disruptionConditions, evacuationNode, lostReadiness } from "./disruption.ts";
import { type Ending, endingOfPod, explainedCrash } from "./ending.ts";
import { guestAgentConditions, guestStatus, mergeInterfaces } from "./guest-agent.ts";
import { type ProblemInput, problemOf } from "./problem.ts";

export interface StatusInput extends ProblemInput, Pick<DisruptionInput, "node"> {
  readonly vmi: VirtualMachineInstance;
  /** The pod is made in this very reconcile. */
  readonly isCreating?: boolean;
  /** Overhead and topology of the LaunchSpec that the pod was made from. */
  readonly resolved?: ResolvedFacts;
  readonly unboundClaims?: readonly string[];
  readonly launcherImage: string;
  /** RFC 3339. */
  readonly now: string;
}

export interface ResolvedFacts {
  readonly cores: number;
  readonly sockets: number;
  readonly threads: number;
  readonly guestMemory: string;
  readonly memoryOverhead: string;
}

/** KubeVirt's reason of the condition Paused where a disk failed or is full. */
export const PAUSED_IO_ERROR = "PausedIOError";

export const FINAL_PHASES: readonly string[] = ["Succeeded", "Failed"];

export function isFinal(vmi: VirtualMachineInstance): boolean {
  return FINAL_PHASES.includes(vmi.status?.phase ?? "");
}

/**
 * Phases only move forward; a finished VMI stays finished. `Scheduled` (the pod is on its node, the guest does not
 * run yet) stands here for its place in the order, but none is ever given it: the step from Scheduling to Running
 * takes about a second, and a write of the status in between would tell nobody anything that the pod doesn't.
 */
const ORDER: readonly string[] = ["", "Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed"];

export function wantedStatus(input: StatusInput): VirtualMachineInstanceStatus {
  const { vmi, now } = input;
  const before: VirtualMachineInstanceStatus = vmi.status ?? {};
  if (isFinal(vmi)) {
    const explained = explainedCrash(before.reason, input.pod);
    if (explained === undefined) return before;
    const ready = readyCondition(input, "Failed", explained);
    const others = (before.conditions ?? []).filter(({ type }) => type !== ready.type);
    const conditions = mergeConditions(before.conditions ?? [], [ready, ...others], now);
    return { ...before, reason: explained.reason, conditions };
  }
  const ending = endingOf(input);
  const phase = later(before.phase, ending?.phase ?? phaseOf(input));
  const conditions = conditionsOf(input, phase, ending);
  // Where the pod landed is told with the first thing worth telling, not in a write of its own.
  const isWorthTelling = phase === "Running" || ending !== undefined || conditions.some(isProblem);
  const { activePods: _, fsFreezeStatus: __, evacuationNodeName: ___, ...kept } = before;
  const evacuated = ending === undefined ? evacuationNode(input) : undefined;
  return {
    ...kept,
    phase,
    conditions: mergeConditions(before.conditions ?? [], conditions, now),
    phaseTransitionTimestamps: transitions(before, phase, vmi, now),
    launcherContainerImageVersion:
      input.pod?.image ?? before.launcherContainerImageVersion ?? input.launcherImage,
    runtimeUser: LAUNCHER_UID,
    ...(isWorthTelling ? placement(input, ending === undefined) : {}),
    ...(phase === "Running" ? domainStatus(input.told?.status, vmi, before) : {}),
    ...(input.resolved === undefined ? {} : resolvedStatus(input.resolved)),
    ...(evacuated === undefined ? {} : { evacuationNodeName: evacuated }),
    ...(ending === undefined ? {} : { reason: ending.reason }),
  };
}

function phaseOf({ pod, told, isCreating }: StatusInput): VirtualMachineInstancePhase {
  const launcher = told?.status?.phase;
  if (launcher === "running" || launcher === "stopping") return "Running";
  return pod === undefined && isCreating !== true ? "Pending" : "Scheduling";
}

function placement({ pod }: StatusInput, isActive: boolean): Partial<VirtualMachineInstanceStatus> {
  const { nodeName, qosClass, uid } = pod ?? {};
  return {
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(nodeName === undefined || uid === undefined || !isActive ? {} : { activePods: { [uid]: nodeName } }),
    ...(qosClass === undefined ? {} : { qosClass }),
  };
}

function domainStatus(
  launcher: LauncherStatus | undefined,
  vmi: VirtualMachineInstance,
  before: VirtualMachineInstanceStatus,
): Partial<VirtualMachineInstanceStatus> {
  if (launcher === undefined) {
    const { fsFreezeStatus } = before;
    return fsFreezeStatus === undefined ? {} : { fsFreezeStatus };
  }
  return {
    interfaces: interfacesOf(launcher, vmi, before),
    ...guestStatus(launcher),
    ...(launcher.machineType === undefined ? {} : { machine: { type: launcher.machineType } }),
  };
}

/** A pod was made for it, however far that came. */
export function hasStarted(vmi: VirtualMachineInstance): boolean {
  return ORDER.indexOf(vmi.status?.phase ?? "") >= ORDER.indexOf("Scheduling");
}

/** undefined while the incarnation lives. */
export function endingOf({ vmi, pod, told }: Pick<StatusInput, "vmi" | "pod" | "told">): Ending | undefined {
  if (pod !== undefined) return endingOfPod(vmi, pod, told);
  return hasStarted(vmi)
    ? {
        phase: "Failed",
        reason: "PodGone",
        message: "the launcher pod is gone and left no word of how the guest ended",
      }
    : undefined;
}

function later(before: string | undefined, wanted: VirtualMachineInstancePhase): VirtualMachineInstancePhase {
  const from = (before ?? "") as VirtualMachineInstancePhase;
  return ORDER.indexOf(wanted) >= ORDER.indexOf(from) ? wanted : from;
}

function conditionsOf(input: StatusInput, phase: string, ending: Ending | undefined): WantedCondition[] {
  const { pod, unboundClaims = [] } = input;
  const conditions: WantedCondition[] = [readyCondition(input, phase, ending)];
  if (pod?.unschedulable !== undefined && pod.nodeName === undefined) {
    conditions.push({
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message: pod.unschedulable,
    });
  }
  if (phase === "Scheduling" && pod?.nodeName === undefined && unboundClaims.length > 0) {
    const claims = `PersistentVolumeClaim ${unboundClaims.join(", ")}`;
    conditions.push({
      type: "Provisioning",
      status: "True",
      reason: "WaitingForVolumeBinding",
      message: `${claims} is waited for: it has no volume yet`,
    });
  }
  const problem = ending === undefined ? problemOf(input) : undefined;
  if (problem !== undefined) conditions.push({ type: "Synchronized", status: "False", ...problem });
  if (ending === undefined) conditions.push(...disruptionConditions(input));
  if (phase === "Running") conditions.push(...guestConditions(input));
  conditions.push({
    type: "LiveMigratable",
    status: "False",
    reason: "LiveMigrationNotSupported",
    message: "virtpod does not migrate running guests yet",
  });
  return conditions;
}

/** Those that only the launcher can tell of, in their order. */
const TOLD_CONDITIONS = [
  "Paused",
  "AgentConnected",
  "AgentVersionNotSupported",
  "AccessCredentialsSynchronized",
  "AddressesHandedOver",
];

/** An operator that has just begun to lead takes nothing back before it is told otherwise. */
function guestConditions({ vmi, told }: StatusInput): WantedCondition[] {
  if (told?.status === undefined) {
    const before = vmi.status?.conditions ?? [];
    return before.filter(({ type }) => TOLD_CONDITIONS.includes(type));
  }
  const { paused } = told.status;
  const others = [...guestAgentConditions(told.status), ...addressConditions(told.status)];
  if (paused === undefined) return others;
  const reason = paused.reason === "ioError" ? PAUSED_IO_ERROR : "PausedByUser";
  return [
    { type: "Paused", status: "True", reason, message: paused.message ?? "the guest is paused" },
    ...others,
  ];
}

function isPaused({ vmi, told }: StatusInput): boolean {
  if (told?.status === undefined) return isTrue(vmi.status?.conditions, "Paused");
  return told.status.paused !== undefined;
}

/** Also what a VM says of a VMI that has not said anything yet. */
export const NOT_RUNNING: WantedCondition = {
  type: "Ready",
  status: "False",
  reason: "GuestNotRunning",
  message: "the guest is not running yet",
};

function readyCondition(input: StatusInput, phase: string, ending: Ending | undefined): WantedCondition {
  const notReady = (reason: string, message: string): WantedCondition => ({
    type: "Ready",
    status: "False",
    reason,
    message,
  });
  if (ending !== undefined) return notReady("PodTerminated", ending.message);
  const lost = lostReadiness(input, phase);
  if (lost !== undefined) return lost;
  if (input.pod?.isDeleting)
    return notReady("PodTerminating", "the launcher pod is being deleted: the guest is shutting down");
  if (phase !== "Running") return NOT_RUNNING;
  if (isPaused(input)) return notReady("GuestPaused", "the guest is paused");
  if (input.vmi.spec.readinessProbe !== undefined && input.pod?.isReady !== true)
    return notReady("GuestNotReady", "the guest runs, and its readinessProbe does not succeed");
  return { type: "Ready", status: "True" };
}

function isProblem({ type, status }: WantedCondition): boolean {
  return type === "Synchronized" || (type === "Ready" && status === "Unknown");
}

function interfacesOf(
  launcher: LauncherStatus,
  vmi: VirtualMachineInstance,
  before: VirtualMachineInstanceStatus,
): NonNullable<VirtualMachineInstanceStatus["interfaces"]> {
  // A launcher that was restarted under its guest tells an empty list for a moment; what is known stays known.
  if (launcher.interfaces.length === 0) return before.interfaces ?? [];
  const { interfaces = [] } = vmi.spec.domain.devices;
  const down = new Set(interfaces.filter(({ state }) => state === "down").map(({ name }) => name));
  const own = launcher.interfaces.map(({ name, macAddress, podInterfaceName, ipAddresses, queueCount }) => ({
    name,
    mac: macAddress,
    podInterfaceName,
    infoSource: "domain",
    linkState: down.has(name) ? "down" : "up",
    queueCount,
    ipAddresses: [...ipAddresses],
    ...(ipAddresses[0] === undefined ? {} : { ipAddress: ipAddresses[0] }),
  }));
  return mergeInterfaces(own, launcher.guestAgent?.interfaces ?? []);
}

function resolvedStatus(resolved: ResolvedFacts): Partial<VirtualMachineInstanceStatus> {
  const { cores, sockets, threads, guestMemory, memoryOverhead } = resolved;
  return {
    currentCPUTopology: { cores, sockets, threads },
    memory: {
      guestAtBoot: guestMemory,
      guestCurrent: guestMemory,
      guestRequested: guestMemory,
      memoryOverhead,
    },
  };
}

function transitions(
  before: VirtualMachineInstanceStatus,
  phase: VirtualMachineInstancePhase,
  vmi: VirtualMachineInstance,
  now: string,
): NonNullable<VirtualMachineInstanceStatus["phaseTransitionTimestamps"]> {
  const known = before.phaseTransitionTimestamps ?? [
    { phase: "Pending" as const, phaseTransitionTimestamp: vmi.metadata.creationTimestamp ?? now },
  ];
  if (known.some((one) => one.phase === phase)) return known;
  return [...known, { phase, phaseTransitionTimestamp: now }];
}
