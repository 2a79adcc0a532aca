/** Disks and volumes → LaunchDisks: how the guest sees each one, and where the launcher finds its bytes; pure. */
import type { Disk } from "../../api/disks.ts";
import type { LaunchDisk } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { Quantity } from "../../api/schema.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Volume } from "../../api/volumes.ts";
import { QCOW2_MAX_VIRTUAL_BYTES, qcow2MaxBytes } from "../../lib/qcow2.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import type { ClaimFacts, Claims } from "./claims.ts";
import { disksOf } from "./default-disks.ts";
import { vcpuCount } from "./domain.ts";
import { imageSourceOf } from "./image-sources.ts";
import { assignIoThreads } from "./io-threads.ts";
import { SpecError, withoutNul } from "./spec-error.ts";

const MIB = 1024 * 1024;
/** More cost memory in the guest and on the node, and bring nothing that a launcher pod's CPUs could use. */
export const MAX_QUEUES = 16;

/**
 * @param claims the PersistentVolumeClaims of the VMI's namespace that it names
 * @throws SpecError for what the CRD's schema should have refused, and for a claim that is not there
 */
export function resolveDisks(vmi: VirtualMachineInstance, claims: Claims): LaunchDisk[] {
  const { spec } = vmi;
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  const vcpus = vcpuCount(spec);
  const threads = assignIoThreads(spec, vcpus).byDisk;
  const queues = spec.domain.devices.blockMultiQueue === true ? Math.min(vcpus, MAX_QUEUES) : 1;
  const disks = disksOf(spec).map((disk): LaunchDisk => {
    const volume = volumes.get(disk.name);
    if (volume === undefined)
      throw new SpecError(`spec.domain.devices.disks[${disk.name}] has no volume of its name`);
    const thread = threads.get(disk.name);
    return {
      ...resolveTarget(disk, volume),
      ...resolveTuning(disk),
      ...(thread === undefined ? {} : { ioThread: thread }),
      ...(queues > 1 && disk.disk?.bus === "virtio" ? { queues } : {}),
      source: resolveSource(vmi, disk, volume, claims),
    };
  });
  requireRoom(spec, disks);
  return disks;
}

/**
 * The kubelet evicts a pod that is above its limit: a guest that does no more than fill its disks must not get there.
 * What an overlay may grow to is known once its image is there; nothing is promised of those.
 */
function requireRoom(spec: VirtualMachineInstance["spec"], disks: readonly LaunchDisk[]): void {
  const limit = spec.domain.resources?.limits?.["ephemeral-storage"];
  if (limit === undefined) return;
  const inMemory = new Set(
    (spec.volumes ?? []).flatMap(({ name, emptyDisk }) => (emptyDisk?.medium === "Memory" ? name : [])),
  );
  const bytes = disks
    .filter(({ name }) => !inMemory.has(name))
    .reduce(
      (sum, { source }) => sum + (source.kind === "emptyDisk" ? qcow2MaxBytes(source.capacityBytes) : 0),
      0,
    );
  if (bytes > parseQuantity(limit)) {
    throw new SpecError(
      `the emptyDisks may grow to ${bytes} bytes, more than limits.ephemeral-storage, ${limit}: raise it, or make them smaller`,
    );
  }
}

function resolveTarget(disk: Disk, volume: Volume): Pick<LaunchDisk, "name" | "device" | "bus" | "readonly"> {
  const { name } = disk;
  if (disk.cdrom !== undefined)
    return { name, device: "cdrom", bus: disk.cdrom.bus ?? "sata", readonly: true };
  const readonly = isReadOnly(disk, volume);
  if (disk.lun !== undefined) return { name, device: "lun", bus: disk.lun.bus ?? "scsi", readonly };
  return { name, device: "disk", bus: disk.disk?.bus ?? "sata", readonly };
}

/** The guest can't write, because of the drive or because of the volume in it. */
export function isReadOnly(disk: Disk, volume: Volume): boolean {
  return (
    disk.cdrom !== undefined ||
    disk.disk?.readonly === true ||
    disk.lun?.readonly === true ||
    volume.persistentVolumeClaim?.readOnly === true
  );
}

function resolveTuning(disk: Disk): Partial<LaunchDisk> {
  const { bootOrder, serial, cache, io, errorPolicy, shareable } = disk;
  const blockSize = resolveBlockSize(disk.blockSize);
  return {
    ...(bootOrder === undefined ? {} : { bootOrder }),
    ...(serial === undefined ? {} : { serial }),
    ...(cache === undefined ? {} : { cache }),
    ...(io === undefined ? {} : { io }),
    ...(errorPolicy === undefined ? {} : { errorPolicy }),
    ...(shareable === true ? { shareable } : {}),
    ...(blockSize === undefined ? {} : { blockSize }),
  };
}

function resolveBlockSize(blockSize: Disk["blockSize"]): LaunchDisk["blockSize"] {
  if (blockSize?.custom !== undefined) {
    const { logical, physical } = blockSize.custom;
    return { logical, physical };
  }
  return blockSize?.matchVolume !== undefined && blockSize.matchVolume.enabled !== false
    ? "matchVolume"
    : undefined;
}

function resolveSource(
  vmi: VirtualMachineInstance,
  disk: Disk,
  volume: Volume,
  claims: Claims,
): LaunchDisk["source"] {
  const directory = volumeDirectory(volume.name);
  const overlayPath = `${LAUNCHER_PATHS.scratch}/${volume.name}.qcow2`;
  const { containerDisk, emptyDisk, persistentVolumeClaim, ephemeral, hostDisk } = volume;
  if (containerDisk !== undefined) {
    const { path } = containerDisk;
    return {
      kind: "containerDisk",
      imageDirectory: directory,
      ...(path === undefined ? {} : { path: withoutNul(path, "path") }),
      overlayPath,
    };
  }
  if (emptyDisk !== undefined) {
    return {
      kind: "emptyDisk",
      path: `${directory}/disk.qcow2`,
      capacityBytes: emptyDiskBytes(emptyDisk.capacity),
    };
  }
  if (persistentVolumeClaim !== undefined) {
    const claim = claimOf(volume, persistentVolumeClaim.claimName, claims);
    const backing = claimBacking(volume, claim);
    return backing.kind === "file" && !isReadOnly(disk, volume)
      ? { ...backing, capacityBytes: claim.capacityBytes }
      : backing;
  }
  if (ephemeral !== undefined) {
    const claim = claimOf(volume, ephemeral.persistentVolumeClaim.claimName, claims);
    return { kind: "ephemeral", backing: claimBacking(volume, claim), overlayPath };
  }
  if (hostDisk !== undefined) {
    withoutNul(hostDisk.path, "path");
    const isMade = hostDisk.type === "DiskOrCreate";
    return {
      kind: "file",
      // What must be there is mounted alone, under a name of ours; what may have to be made needs its directory.
      path: `${directory}/${isMade ? hostDisk.path.slice(hostDisk.path.lastIndexOf("/") + 1) : "disk.img"}`,
      ...(isMade ? { capacityBytes: wholeMebibytes(hostDisk.capacity ?? 0, "a hostDisk") } : {}),
    };
  }
  const image = imageSourceOf(vmi, volume);
  if (image === undefined)
    throw new SpecError(`spec.volumes[${volume.name}] names no source that virtpod supports`);
  return image;
}

function claimOf({ name }: Volume, claimName: string, claims: Claims): ClaimFacts {
  const claim = claims.get(claimName);
  if (claim === undefined)
    throw new SpecError(
      `spec.volumes[${name}] names the PersistentVolumeClaim ${claimName}, which is missing`,
    );
  return claim;
}

function claimBacking({ name }: Volume, { volumeMode }: ClaimFacts) {
  return volumeMode === "Block"
    ? ({ kind: "block", path: `${LAUNCHER_PATHS.devices}/${name}` } as const)
    : ({ kind: "file", path: `${volumeDirectory(name)}/disk.img` } as const);
}

/** KubeVirt's rule: rounded down to whole mebibytes. @throws SpecError when nothing is left, or qcow2 can't hold it */
function emptyDiskBytes(capacity: Quantity): number {
  const bytes = wholeMebibytes(capacity, "an emptyDisk");
  if (bytes > QCOW2_MAX_VIRTUAL_BYTES)
    throw new SpecError(`an emptyDisk has a capacity of at most 64Ti, not ${capacity}`);
  return bytes;
}

function wholeMebibytes(capacity: Quantity, what: string): number {
  const bytes = Math.floor(parseQuantity(capacity) / MIB) * MIB;
  if (bytes <= 0) throw new SpecError(`${what} needs a capacity of at least 1Mi, not ${capacity}`);
  return bytes;
}

export function volumeDirectory(name: string): string {
  return `${LAUNCHER_PATHS.volumes}/${name}`;
}
