/** A launcher pod reduced to what decisions need. */

import type { Accelerator } from "../../api/launch-spec.ts";
import type { DomainEnd } from "../../api/launcher-protocol.ts";
import { CONDITION_UNPAUSED, FINALIZER_POD, LAUNCHER_CONTAINER } from "../../api/names.ts";
import type { Pod } from "../../kube/resources.ts";
import { hasKvm, isGated, launcherImageOf } from "../kinds.ts";
import type { NodeHealth } from "../node/health.ts";
import { parseDomainEnd } from "../uplink/parse.ts";
import type { ToldLauncher } from "../uplink/statuses.ts";
import { ANNOTATION_NETWORK_STATUS, type PodNetwork, parseNetworkStatus } from "./multus.ts";
import { type PodCpu, podCpu } from "./pod-cpu.ts";

export interface PodFacts {
  readonly name: string;
  readonly uid: string;
  readonly phase: string;
  /** `Evicted`, `NodeLost` …: set by the kubelet or a controller on the pod as a whole. */
  readonly reason?: string;
  readonly message?: string;
  readonly nodeName?: string;
  readonly isDeleting: boolean;
  /** Deleted by force: whoever did it doesn't wait for the kubelet's word. */
  readonly isForced?: boolean;
  /** Our finalizer is on it. */
  readonly isHeld: boolean;
  /** Of its one container. */
  readonly image?: string;
  /** Why somebody other than its owner ends it: `EvictionByEvictionAPI`, `DeletionByTaintManager` … */
  readonly disruption?: { readonly reason: string; readonly message: string };
  /** The agent tells that the guest runs, whatever a controller has written into the pod's status. */
  readonly isSeenRunning?: boolean;
  /** Deleted by force, or declared to have failed, on a node without a kubelet: nobody will ever tell its end. */
  readonly isAbandoned?: boolean;
  /** What the pod was made for. */
  readonly accelerator: Accelerator;
  readonly qosClass?: "Guaranteed" | "Burstable" | "BestEffort";
  /** Why the scheduler found no node. */
  readonly unschedulable?: string;
  /** What the container waits for: `ContainerCreating`, `ErrImagePull` … */
  readonly waiting?: { readonly reason: string; readonly message: string };
  /** Its volumes are mounted and its network is there: what is left is the container. */
  readonly hasSandbox: boolean;
  readonly isRunning: boolean;
  /** The container runs, and its readiness probe, if it has one, succeeds. */
  readonly isReady: boolean;
  readonly cpu: PodCpu;
  /** What its readiness gate says, where it has one. */
  readonly isUnpaused?: boolean;
  /** What the pod is attached to, as whoever attached it tells. */
  readonly networks?: readonly PodNetwork[];
  /** When the container started, RFC 3339. */
  readonly startedAt?: string;
  readonly terminated?: {
    readonly reason: string;
    readonly exitCode: number;
    readonly end?: DomainEnd;
  };
}

/** True once nothing of the pod runs any more: its qemu is gone, its disks have no writer. */
export function isOver(pod: PodFacts): boolean {
  if (pod.terminated !== undefined) return true;
  // The node was said to be off, and is not.
  if (pod.isSeenRunning) return false;
  if (pod.phase === "Succeeded" || pod.phase === "Failed" || pod.isAbandoned) return true;
  // Deleted before it had a node: the API server binds it to none any more, so no kubelet will ever tell its end.
  return pod.isDeleting && pod.nodeName === undefined;
}

/**
 * With what the pod's node adds. Kubernetes' contract is that a pod whose node is lost is over when somebody who knows
 * that the node is off says so: by the taint node.kubernetes.io/out-of-service, by deleting the Node or the pod by force.
 */
export function onNode(pod: PodFacts, node: NodeHealth, told: ToldLauncher | undefined): PodFacts {
  const phase = told?.status?.phase;
  const isSeenRunning =
    node.agent === "connected" &&
    told?.isDisconnected !== true &&
    (phase === "running" || phase === "stopping");
  return {
    ...pod,
    isSeenRunning,
    isAbandoned: node.kubelet !== "ready" && !isSeenRunning && isGivenUp(pod),
  };
}

/** By somebody other than its kubelet, which would have told how its container ended, or why it refused the pod. */
function isGivenUp({ isForced, phase, reason, terminated }: PodFacts): boolean {
  return terminated === undefined && (isForced === true || (phase === "Failed" && reason === undefined));
}

export function podFacts(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  const container = status?.containerStatuses?.find((one) => one.name === LAUNCHER_CONTAINER);
  const { waiting, running, terminated } = container?.state ?? {};
  const networks = parseNetworkStatus(metadata.annotations?.[ANNOTATION_NETWORK_STATUS]);
  const scheduled = status?.conditions?.find((condition) => condition.type === "PodScheduled");
  const disrupted = status?.conditions?.find(
    (condition) => condition.type === "DisruptionTarget" && condition.status === "True",
  );
  const image = launcherImageOf(spec);
  return {
    name: metadata.name,
    uid: metadata.uid,
    phase: status?.phase ?? "Pending",
    isDeleting: metadata.deletionTimestamp !== undefined,
    ...(metadata.deletionGracePeriodSeconds === 0 ? { isForced: true } : {}),
    isHeld: metadata.finalizers?.includes(FINALIZER_POD) ?? false,
    ...(image === undefined ? {} : { image }),
    ...(disrupted === undefined
      ? {}
      : { disruption: { reason: disrupted.reason ?? "Disrupted", message: disrupted.message ?? "" } }),
    accelerator: hasKvm(spec) ? "kvm" : "tcg",
    hasSandbox: isConditionTrue(pod, "PodReadyToStartContainers"),
    isRunning: running !== undefined,
    isReady: container?.ready === true,
    ...(isGated(spec) ? { isUnpaused: isConditionTrue(pod, CONDITION_UNPAUSED) } : {}),
    cpu: podCpu(pod),
    ...(networks === undefined ? {} : { networks }),
    ...(status?.reason === undefined ? {} : { reason: status.reason }),
    ...(status?.message === undefined ? {} : { message: status.message }),
    ...(spec?.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
    ...(status?.qosClass === undefined ? {} : { qosClass: status.qosClass }),
    ...(scheduled?.status === "False" && scheduled.reason === "Unschedulable"
      ? { unschedulable: scheduled.message ?? "no node fits" }
      : {}),
    ...(waiting === undefined
      ? {}
      : { waiting: { reason: waiting.reason ?? "", message: waiting.message ?? "" } }),
    ...(running?.startedAt === undefined ? {} : { startedAt: running.startedAt }),
    ...(terminated === undefined
      ? {}
      : {
          terminated: {
            reason: terminated.reason ?? "",
            exitCode: terminated.exitCode,
            ...domainEndOf(terminated.message),
          },
        }),
  };
}

function isConditionTrue({ status }: Pod, type: string): boolean {
  return (
    status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false
  );
}

/** The termination message is the launcher's DomainEnd; a kubelet's own words (OOM) are not JSON. */
function domainEndOf(message: string | undefined): { end?: DomainEnd } {
  try {
    return { end: parseDomainEnd(JSON.parse(message ?? "")) };
  } catch {
    return {};
  }
}
