/** The name of a VMI's launcher pod, which follows from the VMI: there can be only one; pure. */
import { createHash } from "node:crypto";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

const PREFIX = "virt-launcher-";
/** Of the VMI's name in the pod's, which may be 253 characters long. */
const MAX_NAME_CHARACTERS = 232;
const SUFFIX = /-[0-9a-f]{5}$/;

/** Deterministic, so that two operators, or one that restarts, can only ever make the same pod. */
export function launcherPodName({ metadata }: VirtualMachineInstance): string {
  const suffix = createHash("sha256")
    .update(metadata.uid ?? "")
    .digest("hex")
    .slice(0, 5);
  return `${PREFIX}${prefixOf(metadata.name ?? "")}-${suffix}`;
}

/** The VMI's name in a launcher pod's; undefined for another pod's name, and for a VMI's that had to be cut. */
export function vmiNameOfPod(podName: string): string | undefined {
  if (!podName.startsWith(PREFIX) || !SUFFIX.test(podName)) return undefined;
  const name = podName.slice(PREFIX.length).replace(SUFFIX, "");
  return name.length < MAX_NAME_CHARACTERS ? name : undefined;
}

/** The start of a DNS name; one cut at a dot or hyphen would make the whole invalid. */
function prefixOf(name: string): string {
  return name.slice(0, MAX_NAME_CHARACTERS).replace(/[-.]+$/, "");
}
