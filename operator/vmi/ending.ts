/** How a guest ended, out of what its launcher, the kubelet and whoever else ends pods have left; pure. */
import type { DomainEnd } from "../../api/launcher-protocol.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { ToldLauncher } from "../uplink/statuses.ts";
import { lostEnding } from "./disruption.ts";
import { isOver, type PodFacts } from "./pod-facts.ts";

/** How the incarnation ended, as the phase and a sentence. */
export interface Ending {
  readonly phase: "Succeeded" | "Failed";
  readonly reason: string;
  readonly message: string;
}

const OUT_OF_MEMORY: Ending = {
  phase: "Failed",
  reason: "OOMKilled",
  message: "the launcher pod ran out of memory; raise spec.domain.resources.limits.memory",
};

/** undefined while the guest runs. What is left of its pod may take a moment longer, and nothing takes its place before. */
export function endingOfPod(
  vmi: VirtualMachineInstance,
  pod: PodFacts,
  told: ToldLauncher | undefined,
): Ending | undefined {
  // The launcher's word is there a second before the kubelet's, which looks at its containers so often.
  if (!isOver(pod) && told?.status?.end === undefined) return undefined;
  const end = pod.terminated?.end ?? told?.status?.end;
  if (end?.acpiRequested && isUnasked(vmi, pod)) return unhealthy(end);
  // Where the kernel ends only qemu, the launcher sees no more than a crash.
  const isCrash = end === undefined || end.reason === "crashed";
  if (isCrash && pod.terminated?.reason === "OOMKilled") return OUT_OF_MEMORY;
  if (end !== undefined) return endingOfDomain(end, pod);
  const lost = lostEnding(pod);
  if (lost !== undefined) return lost;
  if (pod.nodeName === undefined) {
    return {
      phase: "Failed",
      reason: "PodDeleted",
      message: "the launcher pod was deleted before there was a node for it",
    };
  }
  const reason = pod.reason ?? pod.disruption?.reason ?? pod.terminated?.reason ?? "PodFailed";
  const detail =
    pod.message ??
    pod.disruption?.message ??
    (pod.terminated === undefined ? "no reason given" : `exit code ${pod.terminated.exitCode}`);
  return {
    phase: "Failed",
    reason,
    message: `the launcher pod ended without a word of the guest: ${detail}`,
  };
}

/** Nobody deleted anything: it was the kubelet that stopped the container of a guest whose life it probes. */
function isUnasked({ metadata, spec }: VirtualMachineInstance, pod: PodFacts): boolean {
  return spec.livenessProbe !== undefined && metadata.deletionTimestamp === undefined && !pod.isDeleting;
}

function unhealthy({ message }: DomainEnd): Ending {
  return {
    phase: "Failed",
    reason: "LivenessProbeFailed",
    message: `the guest was stopped because its livenessProbe failed: ${message}`,
  };
}

/** KubeVirt's mapping: what the guest or its owner wanted is a success, the rest a failure. */
function endingOfDomain(
  { reason, acpiRequested, code, message }: DomainEnd,
  { disruption }: PodFacts,
): Ending {
  // Destroyed after an ACPI request means that the guest did not obey it in its grace period.
  const isWanted = reason === "shutdown" || (reason === "destroyed" && !acpiRequested);
  const phase = isWanted ? "Succeeded" : "Failed";
  const why =
    disruption === undefined ? "" : `; its launcher pod was taken off its node: ${disruption.message}`;
  return { phase, reason: code, message: `${message}${why}` };
}

/** A crash that the kubelet explains once the launcher has told it; undefined where there is nothing to add. */
export function explainedCrash(reason: string | undefined, pod: PodFacts | undefined): Ending | undefined {
  return reason === "QemuCrashed" && pod?.terminated?.reason === "OOMKilled" ? OUT_OF_MEMORY : undefined;
}
