/** What keeps a VMI from running that somebody has to do something about; pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { ToldLauncher } from "../uplink/statuses.ts";
import { attachedInterfaces } from "./interfaces.ts";
import type { MountFailure } from "./mount-failures.ts";
import { ANNOTATION_NETWORK_STATUS, type PodNetwork, toldInterfaceOf } from "./multus.ts";
import type { PodFacts } from "./pod-facts.ts";

export interface Problem {
  readonly reason: string;
  readonly message: string;
}

/** Container states in which a person has to do something. */
const STUCK: readonly string[] = [
  "ErrImagePull",
  "ImagePullBackOff",
  "ErrImageNeverPull",
  "InvalidImageName",
  "ImageInspectError",
  "RegistryUnavailable",
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
];

export interface ProblemInput {
  readonly vmi: VirtualMachineInstance;
  readonly pod?: PodFacts;
  readonly told?: ToldLauncher;
  /** Why no launcher pod could be made. */
  readonly createFailure?: Problem;
  /** Why the running pod can't be given other amounts of CPU. */
  readonly resizeFailure?: Problem;
  /** Why the pod doesn't get its volumes. */
  readonly mountFailure?: MountFailure;
}

export function problemOf(input: ProblemInput): Problem | undefined {
  const { vmi, pod, told, createFailure, mountFailure } = input;
  if (createFailure !== undefined) return createFailure;
  const networkFailure = pod?.hasSandbox ? networkProblem(vmi, pod.networks ?? []) : undefined;
  if (networkFailure !== undefined) return networkFailure;
  if (told?.refused !== undefined) return { reason: told.refused.code, message: told.refused.message };
  if (pod?.nodeName === undefined) return undefined;
  if (input.resizeFailure !== undefined) return input.resizeFailure;
  const { resize } = pod.cpu;
  if (resize !== undefined && resize.reason !== "InProgress") {
    return {
      reason: `Resize${resize.reason}`,
      message: `the node's kubelet has not made the launcher pod's CPU as it is wanted: ${resize.message}`,
    };
  }
  if (pod.waiting !== undefined && STUCK.includes(pod.waiting.reason)) return pod.waiting;
  // The events that tell of it stay long after the pod has its volumes.
  return pod.hasSandbox || pod.isRunning ? undefined : mountFailure;
}

/** The pod's network is made, but nobody has attached what it asked for beyond the cluster's. */
function networkProblem(
  { metadata, spec }: VirtualMachineInstance,
  told: readonly PodNetwork[],
): Problem | undefined {
  const missing = attachedInterfaces(spec)
    .map(({ network }) => network)
    .filter((network) => toldInterfaceOf(network, told, metadata.namespace ?? "default") === undefined);
  if (missing.length === 0) return undefined;
  return {
    reason: "NetworkNotAttached",
    message:
      `the launcher pod's annotation ${ANNOTATION_NETWORK_STATUS} tells nothing of the network ` +
      `${missing.map(({ name, multus }) => `${name} (${multus?.networkName})`).join(", ")}: ` +
      "is Multus, or another implementation of it, installed in this cluster?",
  };
}
