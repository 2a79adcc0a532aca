/**
 * What to do about one VMI: a pure function of what is known of it. Applying a plan and planning again gives an
 * empty plan; a VMI never has two launcher pods, because the pod's name follows from the VMI's UID.
 */
import { isDeepStrictEqual } from "node:util";
import { FINALIZER_VMI, LABEL_OUTDATED_LAUNCHER } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { VirtualMachineInstanceStatus } from "../../api/virtual-machine-instance-status.ts";
import type { PlannedEvent } from "../events.ts";
import type { NodeHealth } from "../node/health.ts";
import type { ToldLauncher } from "../uplink/statuses.ts";
import { isTrue } from "./conditions.ts";
import { cpuChange } from "./cpu.ts";
import { isGuarded } from "./disruption.ts";
import type { MountFailure } from "./mount-failures.ts";
import type { CpuAmounts } from "./pod-cpu.ts";
import { isOver, type PodFacts } from "./pod-facts.ts";
import { endingOf, isFinal, type ResolvedFacts, wantedStatus } from "./status.ts";
import { transitionEvents } from "./transition-events.ts";

export interface Observed {
  /** undefined: the VMI is gone, its pods are not. */
  readonly vmi?: VirtualMachineInstance;
  /** Launcher pods whose controller is this VMI, by UID. */
  readonly pods: readonly PodFacts[];
  readonly told?: ToldLauncher;
  /** Of the node that the pod is on. */
  readonly node?: NodeHealth;
  /** The disruption budget stands that keeps its pod from being evicted. */
  readonly hasBudget?: boolean;
  /** The last attempt to make the pod failed so. */
  readonly createFailure?: { readonly reason: string; readonly message: string };
  /** The last attempt to change its CPU failed so. */
  readonly resizeFailure?: { readonly reason: string; readonly message: string };
  readonly resolved?: ResolvedFacts;
  /** What the kubelet says of the pod's volumes. */
  readonly mountFailure?: MountFailure;
  /** Claims of the VMI's that have no volume yet. */
  readonly unboundClaims?: readonly string[];
  readonly launcherImage: string;
  readonly now: string;
}

export type Write =
  | { readonly kind: "addFinalizer" }
  | { readonly kind: "createBudget" }
  | { readonly kind: "createPod" }
  /** Marks a VMI whose launcher is of another image than a new one would be, or takes the mark off. */
  | { readonly kind: "markOutdated"; readonly isOutdated: boolean }
  /** Opens or shuts the readiness gate of a pod whose guest started paused. */
  | { readonly kind: "setUnpaused"; readonly pod: PodFacts; readonly isUnpaused: boolean }
  | {
      readonly kind: "updateStatus";
      readonly status: VirtualMachineInstanceStatus;
      /** How the change is told, as soon as it is written: a later plan sees no change. */
      readonly events: readonly PlannedEvent[];
    }
  /** Changes the CPU of a running pod. */
  | { readonly kind: "resizePod"; readonly pod: PodFacts; readonly cpu: CpuAmounts }
  | { readonly kind: "deletePod"; readonly pod: PodFacts; readonly events: readonly PlannedEvent[] }
  /** Takes our finalizer off a pod that has ended and whose ending has been read. */
  | { readonly kind: "releasePod"; readonly pod: PodFacts }
  | { readonly kind: "removeFinalizer" };

export interface Plan {
  /** In the order in which they are to be done. */
  readonly writes: readonly Write[];
  /** When to look again, in milliseconds from now. */
  readonly requeueAfterMs?: number;
}

/** A launcher whose guest has ended is gone in a second; one that only says so is ended after so long. */
const FAREWELL_MS = 15_000;

export function plan(observed: Observed): Plan {
  const { vmi, pods } = observed;
  if (vmi === undefined) return { writes: pods.filter(isDone).map(release) };
  if (vmi.metadata.deletionTimestamp !== undefined) return planDeletion(observed, vmi);

  const writes: Write[] = [];
  const pod = newest(pods);
  const hasFinalizer = vmi.metadata.finalizers?.includes(FINALIZER_VMI) ?? false;
  // The finalizer comes before the first pod: without it the VMI could go and leave a running guest.
  if (!hasFinalizer && !isFinal(vmi)) writes.push({ kind: "addFinalizer" });

  if (isGuarded(vmi) && observed.hasBudget === false && !isFinal(vmi)) writes.push({ kind: "createBudget" });
  const isNew = pod === undefined && endingOf({ vmi }) === undefined && !isFinal(vmi);
  if (isNew) writes.push({ kind: "createPod" });
  writes.push(...markWrite(vmi, pod, observed.launcherImage));

  const status = wantedStatus({
    ...statusInput(observed, vmi),
    isCreating: isNew && observed.createFailure === undefined,
    ...(pod === undefined ? {} : { pod }),
  });
  writes.push(...statusWrite(vmi, status));
  if (pod !== undefined) writes.push(...gateWrite(pod, status));
  if (pod !== undefined) writes.push(...resizeWrite(vmi, pod));
  if (!isFinal({ ...vmi, status })) return { writes };
  writes.push(...pods.filter(isDone).map(release));
  const lingering = pods.filter((one) => !isOver(one) && !one.isDeleting);
  // One that ends by itself keeps its log.
  const patienceMs = farewellMs(status, observed.now);
  if (lingering.length > 0 && patienceMs > 0) return { writes, requeueAfterMs: patienceMs };
  writes.push(...lingering.map((one): Write => ({ kind: "deletePod", pod: one, events: [] })));
  return { writes };
}

/** How long a pod may still take to end since its guest has, in milliseconds. */
function farewellMs({ phaseTransitionTimestamps = [] }: VirtualMachineInstanceStatus, now: string): number {
  const endedAt = phaseTransitionTimestamps.at(-1)?.phaseTransitionTimestamp ?? now;
  return FAREWELL_MS - (Date.parse(now) - Date.parse(endedAt));
}

/** As KubeVirt marks them; who updates workloads looks for the label. */
function markWrite(
  vmi: VirtualMachineInstance,
  pod: PodFacts | undefined,
  launcherImage: string,
): readonly Write[] {
  if (pod?.image === undefined || isFinal(vmi) || isOver(pod)) return [];
  const isOutdated = pod.image !== launcherImage;
  const isMarked = vmi.metadata.labels?.[LABEL_OUTDATED_LAUNCHER] !== undefined;
  return isOutdated === isMarked ? [] : [{ kind: "markOutdated", isOutdated }];
}

function statusWrite(vmi: VirtualMachineInstance, status: VirtualMachineInstanceStatus): readonly Write[] {
  if (isDeepStrictEqual(status, vmi.status)) return [];
  return [{ kind: "updateStatus", status, events: transitionEvents(vmi, status) }];
}

function gateWrite(pod: PodFacts, { phase, conditions }: VirtualMachineInstanceStatus): readonly Write[] {
  if (pod.isUnpaused === undefined || isOver(pod) || phase !== "Running") return [];
  const isUnpaused = !isTrue(conditions, "Paused");
  return isUnpaused === pod.isUnpaused ? [] : [{ kind: "setUnpaused", pod, isUnpaused }];
}

/** The CPU that a running pod is to be given; undefined where it has it, or stays as it is. */
export function wantedResize(vmi: VirtualMachineInstance, pod: PodFacts): CpuAmounts | undefined {
  return pod.isRunning && !pod.isDeleting && !isFinal(vmi) ? cpuChange(vmi, pod) : undefined;
}

function resizeWrite(vmi: VirtualMachineInstance, pod: PodFacts): readonly Write[] {
  const cpu = wantedResize(vmi, pod);
  return cpu === undefined ? [] : [{ kind: "resizePod", pod, cpu }];
}

function statusInput(observed: Observed, vmi: VirtualMachineInstance) {
  const {
    told,
    node,
    createFailure,
    resizeFailure,
    mountFailure,
    resolved,
    unboundClaims = [],
    launcherImage,
    now,
  } = observed;
  return {
    vmi,
    unboundClaims,
    launcherImage,
    now,
    ...(told === undefined ? {} : { told }),
    ...(node === undefined ? {} : { node }),
    ...(createFailure === undefined ? {} : { createFailure }),
    ...(resizeFailure === undefined ? {} : { resizeFailure }),
    ...(mountFailure === undefined ? {} : { mountFailure }),
    ...(resolved === undefined ? {} : { resolved }),
  };
}

/** Pods first, with their own grace; the VMI tells how its guest ended, and goes when no pod is left. */
function planDeletion(observed: Observed, vmi: VirtualMachineInstance): Plan {
  const { pods } = observed;
  const pod = newest(pods);
  if (pod === undefined) {
    const hasFinalizer = vmi.metadata.finalizers?.includes(FINALIZER_VMI) ?? false;
    return { writes: hasFinalizer ? [{ kind: "removeFinalizer" }] : [] };
  }
  const writes: Write[] = [];
  for (const one of pods) {
    if (one.isDeleting) continue;
    const message = `Deleted launcher pod ${one.name}`;
    const events: PlannedEvent[] = [{ type: "Normal", reason: "SuccessfulDelete", message }];
    writes.push({ kind: "deletePod", pod: one, events });
  }
  const status = wantedStatus({ ...statusInput(observed, vmi), pod: { ...pod, isDeleting: true } });
  writes.push(...statusWrite(vmi, status));
  // Last, so that what a pod tells of its end is written down before the pod can go.
  writes.push(...pods.filter(isDone).map(release));
  return { writes };
}

function isDone(pod: PodFacts): boolean {
  return pod.isHeld && isOver(pod);
}

function release(pod: PodFacts): Write {
  return { kind: "releasePod", pod };
}

/** There is one by construction; should somebody have made a second one, a living one wins. */
function newest(pods: readonly PodFacts[]): PodFacts | undefined {
  return pods.find((pod) => !isOver(pod)) ?? pods[0];
}
