/**
 * No two VMIs have a claim's disk at once if one of them writes it. Nothing below would stop them everywhere: the
 * kubelet gives a claim to any pod of its node, and each gets a device node of its own, which qemu's lock is bound to.
 */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { disksOf } from "./default-disks.ts";
import { isReadOnly } from "./disks.ts";
import type { Problem } from "./problem.ts";

interface Use {
  readonly claimName: string;
  readonly isWritten: boolean;
  readonly isShareable: boolean;
}

function usesOf({ spec }: VirtualMachineInstance): Use[] {
  const disks = new Map(disksOf(spec).map((disk) => [disk.name, disk]));
  return (spec.volumes ?? []).flatMap((volume) => {
    const { name, persistentVolumeClaim, ephemeral } = volume;
    if (ephemeral !== undefined) {
      const { claimName } = ephemeral.persistentVolumeClaim;
      return [{ claimName, isWritten: false, isShareable: false }];
    }
    const disk = disks.get(name);
    if (persistentVolumeClaim === undefined || disk === undefined) return [];
    return [
      {
        claimName: persistentVolumeClaim.claimName,
        isWritten: !isReadOnly(disk, volume),
        isShareable: disk.shareable === true,
      },
    ];
  });
}

/**
 * Why a VMI has to wait for another one's end; undefined when it has not.
 * @param holders other VMIs of its namespace that have, or are just being given, a launcher pod
 */
export function claimConflict(
  vmi: VirtualMachineInstance,
  holders: readonly VirtualMachineInstance[],
): Problem | undefined {
  const wanted = usesOf(vmi);
  for (const holder of holders) {
    const conflict = usesOf(holder).find((theirs) => wanted.some((ours) => collide(ours, theirs)));
    if (conflict === undefined) continue;
    return {
      reason: "PvcInUse",
      message:
        `PersistentVolumeClaim ${conflict.claimName} is in use by the virtual machine instance ` +
        `${holder.metadata.name}: stop that one, or make the disk shareable in both`,
    };
  }
  return undefined;
}

function collide(ours: Use, theirs: Use): boolean {
  if (ours.claimName !== theirs.claimName) return false;
  return (ours.isWritten || theirs.isWritten) && !(ours.isShareable && theirs.isShareable);
}
