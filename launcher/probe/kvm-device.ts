/**
 * libvirt keys its capability cache by whether its user can open /dev/kvm, so the probe must be able to say which.
 * A privileged container has a /dev of its own, with device nodes of its own, whose modes are nobody else's matter.
 */
import { constants } from "node:fs";
import { chmod, chown, readFile, stat } from "node:fs/promises";
import type { DaemonUser } from "../libvirt/daemon.ts";

export const KVM_DEVICE = "/dev/kvm";

export async function hasKvmDevice(): Promise<boolean> {
  return (await statOrUndefined(KVM_DEVICE))?.isCharacterDevice() === true;
}

/**
 * Lets the user open /dev/kvm, or keeps them from it.
 * @throws Error where that takes a change and /dev is the node's own
 */
export async function setKvmAccess({ uid, gid }: DaemonUser, wanted: boolean): Promise<void> {
  const node = await statOrUndefined(KVM_DEVICE);
  if (node === undefined) {
    if (wanted) throw new Error(`${KVM_DEVICE} doesn't exist`);
    return;
  }
  const both = constants.S_IROTH | constants.S_IWOTH;
  const shift = node.uid === uid ? 6 : node.gid === gid ? 3 : 0;
  const has = ((node.mode >> shift) & both) === both;
  if (has === wanted) return;
  if (await isNodesOwnDev()) {
    throw new Error(`/dev belongs to the node: the access to ${KVM_DEVICE} isn't changed there`);
  }
  await chown(KVM_DEVICE, wanted ? uid : 0, wanted ? gid : 0);
  await chmod(KVM_DEVICE, 0o600);
}

async function isNodesOwnDev(): Promise<boolean> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const dev = mounts.findLast(([, target]) => target === "/dev");
  // A container runtime makes a tmpfs; without a mount of its own, /dev is part of whatever root this is.
  return dev?.[2] !== "tmpfs" || mounts.some(([, target]) => target === KVM_DEVICE);
}

async function statOrUndefined(path: string) {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
