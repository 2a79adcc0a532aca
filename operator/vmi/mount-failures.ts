/** Why the kubelet can't give a launcher pod its volumes, from the events that it leaves about the pod; pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { CoreEvent } from "../../kube/resources.ts";
import { slimMetadata } from "../kinds.ts";

type Spec = VirtualMachineInstance["spec"];

/**
 * Only events tell that a Secret or ConfigMap is missing, or a volume attached elsewhere. The server filters them, as
 * far as it can: a busy cluster has many warnings about pods, and most say nothing of volumes.
 */
export const MOUNT_EVENTS = [
  "involvedObject.kind=Pod",
  "type=Warning",
  ...["BackOff", "Failed", "FailedScheduling", "Unhealthy", "Evicted", "FailedKillPod"].map(
    (reason) => `reason!=${reason}`,
  ),
].join(",");

/** Of the kubelet and of the controller that attaches volumes. */
const REASONS: readonly string[] = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"];
/** The kubelet tries again within 2 minutes and 2 seconds: what it has not said for so long is mended. */
const STALE_MS = 5 * 60_000;
/** What the kubelet says of all volumes together, after it has said it of each. */
const SUMMARY = /^Unable to attach or mount volumes/;

export interface MountFailure {
  readonly reason: string;
  readonly message: string;
}

/** Keeps of an event what `mountFailure` reads. */
export function slimEvent(event: CoreEvent): CoreEvent {
  const { apiVersion, kind, metadata, involvedObject, reason, message, lastTimestamp } = event;
  const isOurs = isMountFailure(event);
  return {
    apiVersion,
    kind,
    metadata: slimMetadata(metadata),
    involvedObject: involvedObject.uid === undefined ? {} : { uid: involvedObject.uid },
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined || !isOurs ? {} : { message }),
    ...(lastTimestamp === undefined || !isOurs ? {} : { lastTimestamp }),
  };
}

export function isMountFailure({ reason }: CoreEvent): boolean {
  return REASONS.includes(reason ?? "");
}

/** The failures that a pod's events tell of, each once, with the user's names of volumes; undefined without any. */
export function mountFailure(spec: Spec, events: readonly CoreEvent[]): MountFailure | undefined {
  const failures = events.filter(isMountFailure);
  const newest = Math.max(...failures.map(timeOf));
  const current = failures.filter((event) => newest - timeOf(event) < STALE_MS);
  const single = current.filter(({ message }) => !SUMMARY.test(message ?? ""));
  const told = single.length > 0 ? single : current;
  const messages = new Set(told.map(({ message }) => withUsersNames(spec, message ?? "")));
  const [reason] = told.map((event) => event.reason ?? "").sort();
  return reason === undefined ? undefined : { reason, message: [...messages].sort().join("; ") };
}

function timeOf({ lastTimestamp, metadata }: CoreEvent): number {
  return Date.parse(lastTimestamp ?? metadata.creationTimestamp);
}

/** The pod's volumes are numbered; their user knows them by name. */
function withUsersNames({ volumes = [] }: Spec, message: string): string {
  return message.replaceAll(/"volume-(\d+)(?:-network)?"/g, (whole, index: string) => {
    const name = volumes[Number(index)]?.name;
    return name === undefined ? whole : `"${name}"`;
  });
}
