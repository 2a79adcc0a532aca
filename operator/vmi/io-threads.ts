/** `ioThreadsPolicy` and `dedicatedIOThread` → which I/O thread serves which disk; KubeVirt's rules; pure. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";

type Spec = VirtualMachineInstance["spec"];

export interface IoThreads {
  readonly count: number;
  /** Number of the thread from 1, by the disk's name; only disks on the bus virtio have one. */
  readonly byDisk: ReadonlyMap<string, number>;
}

const THREADS_PER_VCPU = 2;

/**
 * The threads that disks share come first, each disk taking the next one in turn; those that one disk has for itself
 * follow. With the policy `auto` there are at most two per vCPU, but always one to share.
 */
export function assignIoThreads({ domain }: Spec, vcpus: number): IoThreads {
  const disks = (domain.devices.disks ?? []).filter(({ disk }) => disk?.bus === "virtio");
  const dedicated = disks.filter((disk) => disk.dedicatedIOThread === true);
  const others = disks.length - dedicated.length;
  const policy = domain.ioThreadsPolicy ?? (dedicated.length === 0 ? undefined : "shared");
  if (policy === undefined || disks.length === 0) return { count: 0, byDisk: new Map() };

  const limit = policy === "auto" ? THREADS_PER_VCPU * vcpus : 1;
  const shared = others === 0 ? 0 : Math.max(1, Math.min(others, limit - dedicated.length));
  let [turn, next] = [0, shared];
  const byDisk = disks.map(({ name, dedicatedIOThread }): [string, number] => {
    if (dedicatedIOThread === true) return [name, ++next];
    return [name, (turn++ % shared) + 1];
  });
  return { count: shared + dedicated.length, byDisk: new Map(byDisk) };
}
