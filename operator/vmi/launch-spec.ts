/** VMI → LaunchSpec: every default resolved, every path decided; pure. */
import { createHash } from "node:crypto";
import type {
  Accelerator,
  LaunchDisk,
  LaunchDomain,
  LaunchInterface,
  LaunchSpec,
} from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { Quantity } from "../../api/schema.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { TCG_CACHE_BYTES } from "./memory.ts";

type Spec = VirtualMachineInstance["spec"];
type Disk = NonNullable<Spec["domain"]["devices"]["disks"]>[number];
type Volume = NonNullable<Spec["volumes"]>[number];

/** The spec asks for what can't be resolved; the CRD's schema should have refused it. */
export class SpecError extends Error {
  override readonly name = "SpecError";
}

export const DEFAULT_GRACE_PERIOD_SECONDS = 30;
const MIB = 1024 * 1024;
const DEFAULT_MACHINE_TYPE = "q35";
/** KubeVirt's name for the network and interface that a VMI gets when it names none. */
const DEFAULT_NETWORK = "default";
/** More cost memory in the guest and on the node, and bring nothing that a launcher pod's CPUs could use. */
const MAX_QUEUES = 16;

/** @throws SpecError when the spec holds what the CRD's schema should have refused */
export function resolveLaunchSpec(vmi: VirtualMachineInstance, accelerator: Accelerator): LaunchSpec {
  const { metadata, spec } = vmi;
  return {
    version: 1,
    namespace: metadata.namespace ?? "default",
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    domain: resolveDomain(vmi, accelerator),
    disks: resolveDisks(spec),
    interfaces: resolveInterfaces(spec),
    hostname: hostnameOf(vmi),
    ...(spec.subdomain === undefined ? {} : { subdomain: spec.subdomain }),
    gracePeriodSeconds: spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_PERIOD_SECONDS,
    startPaused: spec.startStrategy === "Paused",
  };
}

function resolveDomain(vmi: VirtualMachineInstance, accelerator: Accelerator): LaunchDomain {
  const { domain } = vmi.spec;
  const { devices, firmware } = domain;
  const kernelBoot = firmware?.kernelBoot;
  return {
    uuid: firmware?.uuid ?? stableUuid(vmi),
    ...(firmware?.serial === undefined ? {} : { serial: firmware.serial }),
    machineType: domain.machine?.type ?? DEFAULT_MACHINE_TYPE,
    accelerator,
    cpu: resolveCpu(vmi.spec),
    memoryBytes: guestMemoryBytes(vmi.spec),
    ...(accelerator === "tcg" ? { tcgCacheBytes: TCG_CACHE_BYTES } : {}),
    ...(kernelBoot?.container === undefined
      ? {}
      : {
          kernelBoot: {
            ...inKernelBoot("kernelPath", kernelBoot.container.kernelPath),
            ...inKernelBoot("initrdPath", kernelBoot.container.initrdPath),
            ...(kernelBoot.kernelArgs === undefined
              ? {}
              : { kernelArgs: withoutNul(kernelBoot.kernelArgs, "kernelArgs") }),
          },
        }),
    graphics: devices.autoattachGraphicsDevice ?? true,
    serialConsole: devices.autoattachSerialConsole ?? true,
    memBalloon: devices.autoattachMemBalloon ?? true,
    rng: devices.rng !== undefined,
  };
}

function inKernelBoot(name: string, path: string | undefined): Record<string, string> {
  return path === undefined
    ? {}
    : { [name]: `${LAUNCHER_PATHS.kernelBoot}/${withoutNul(path, name).replace(/^\/+/, "")}` };
}

/** No program can be given such a text, and CEL can't look for the character. @throws SpecError */
function withoutNul(text: string, field: string): string {
  if (text.includes("\0")) throw new SpecError(`${field} contains a NUL character; remove it`);
  return text;
}

/** KubeVirt's rule: without a topology, as many sockets as the CPU limit or request asks for, else one. */
export function resolveCpu(spec: Spec): LaunchDomain["cpu"] {
  const { cpu, resources } = spec.domain;
  const hasTopology = cpu?.cores !== undefined || cpu?.sockets !== undefined || cpu?.threads !== undefined;
  const quantity = resources?.limits?.cpu ?? resources?.requests?.cpu;
  const fromResources =
    hasTopology || quantity === undefined ? 1 : Math.max(1, Math.ceil(parseQuantity(quantity)));
  return {
    sockets: cpu?.sockets ?? fromResources,
    cores: cpu?.cores ?? 1,
    threads: cpu?.threads ?? 1,
    model: cpu?.model ?? "host-model",
  };
}

/** `memory.guest`, else the memory request, else the memory limit. @throws SpecError when none is given */
export function guestMemoryBytes(spec: Spec): number {
  const { memory, resources } = spec.domain;
  const quantity = memory?.guest ?? resources?.requests?.memory ?? resources?.limits?.memory;
  if (quantity === undefined) {
    throw new SpecError(
      "spec.domain.memory.guest is missing, and no memory request or limit stands in for it",
    );
  }
  // A fraction of a byte, which a quantity may have, is none that a guest could be given.
  return Math.floor(parseQuantity(quantity));
}

function resolveDisks(spec: Spec): LaunchDisk[] {
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  return (spec.domain.devices.disks ?? []).map((disk) => {
    const volume = volumes.get(disk.name);
    if (volume === undefined)
      throw new SpecError(`spec.domain.devices.disks[${disk.name}] has no volume of its name`);
    return resolveDisk(disk, volume);
  });
}

function resolveDisk(disk: Disk, volume: Volume): LaunchDisk {
  const device = disk.cdrom !== undefined ? "cdrom" : "disk";
  const target = disk.cdrom ?? disk.disk;
  return {
    name: disk.name,
    device,
    bus: target?.bus ?? "sata",
    readonly: target?.readonly ?? device === "cdrom",
    ...(disk.bootOrder === undefined ? {} : { bootOrder: disk.bootOrder }),
    ...(disk.serial === undefined ? {} : { serial: disk.serial }),
    ...(disk.cache === undefined ? {} : { cache: disk.cache }),
    source: resolveSource(volume),
  };
}

function resolveSource(volume: Volume): LaunchDisk["source"] {
  const directory = volumeDirectory(volume.name);
  if (volume.containerDisk !== undefined) {
    const { path } = volume.containerDisk;
    return {
      kind: "containerDisk",
      imageDirectory: directory,
      ...(path === undefined ? {} : { path: withoutNul(path, "path") }),
      overlayPath: `${LAUNCHER_PATHS.scratch}/${volume.name}.qcow2`,
    };
  }
  if (volume.emptyDisk !== undefined) {
    return {
      kind: "emptyDisk",
      path: `${directory}/disk.qcow2`,
      capacityBytes: emptyDiskBytes(volume.emptyDisk.capacity),
    };
  }
  throw new SpecError(`spec.volumes[${volume.name}] names no source that virtpod supports`);
}

/** KubeVirt's rule: rounded down to whole mebibytes. @throws SpecError when nothing is left */
export function emptyDiskBytes(capacity: Quantity): number {
  const bytes = Math.floor(parseQuantity(capacity) / MIB) * MIB;
  if (bytes <= 0) throw new SpecError(`an emptyDisk needs a capacity of at least 1Mi, not ${capacity}`);
  return bytes;
}

export function volumeDirectory(name: string): string {
  return `${LAUNCHER_PATHS.volumes}/${name}`;
}

/** Interfaces matched to networks by name; the default pair when a VMI names neither (KubeVirt's rule). */
export function resolveInterfaces(spec: Spec): LaunchInterface[] {
  const { devices } = spec.domain;
  const named = devices.interfaces ?? [];
  const isDefault = named.length === 0 && (spec.networks ?? []).length === 0;
  if (isDefault && devices.autoattachPodInterface === false) return [];
  const interfaces = isDefault ? [{ name: DEFAULT_NETWORK }] : named;
  const queues = Math.min(vcpuCount(spec), MAX_QUEUES);
  return interfaces.map((one) => ({
    name: one.name,
    binding: "bridge",
    podInterface: "eth0",
    model: one.model ?? "virtio",
    ...(one.bootOrder === undefined ? {} : { bootOrder: one.bootOrder }),
    queues: devices.networkInterfaceMultiqueue === true && (one.model ?? "virtio") === "virtio" ? queues : 1,
  }));
}

export function vcpuCount(spec: Spec): number {
  const { sockets, cores, threads } = resolveCpu(spec);
  return sockets * cores * threads;
}

/** The guest's host name; a name with dots or of more than 63 characters becomes a DNS label. */
export function hostnameOf(vmi: VirtualMachineInstance): string {
  const name = vmi.spec.hostname ?? vmi.metadata.name ?? "";
  return name.replaceAll(".", "-").slice(0, 63).replace(/-+$/, "");
}

/** RFC 9562 version 8: the same VM has the same UUID in all its incarnations, and no other VM has it. */
function stableUuid(vmi: VirtualMachineInstance): string {
  const owner = vmi.metadata.ownerReferences?.find((reference) => reference.controller === true);
  const hex = createHash("sha256")
    .update(owner?.uid ?? vmi.metadata.uid ?? "")
    .digest("hex");
  const variant = ((Number.parseInt(hex[16] ?? "0", 16) & 0x3) | 0x8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
