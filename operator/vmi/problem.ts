/** What keeps a VMI from running that somebody has to do something about; pure. */
import type { ToldLauncher } from "../uplink/statuses.ts";
import type { MountFailure } from "./mount-failures.ts";
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
  readonly pod?: PodFacts;
  readonly told?: ToldLauncher;
  /** Why no launcher pod could be made. */
  readonly createFailure?: Problem;
  /** Why the pod doesn't get its volumes. */
  readonly mountFailure?: MountFailure;
}

export function problemOf({ pod, told, createFailure, mountFailure }: ProblemInput): Problem | undefined {
  if (createFailure !== undefined) return createFailure;
  if (told?.refused !== undefined) return { reason: told.refused.code, message: told.refused.message };
  if (pod?.nodeName === undefined) return undefined;
  if (pod.waiting !== undefined && STUCK.includes(pod.waiting.reason)) return pod.waiting;
  // The events that tell of it stay long after the pod has its volumes.
  return pod.hasSandbox || pod.isRunning ? undefined : mountFailure;
}
