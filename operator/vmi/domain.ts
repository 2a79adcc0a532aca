/** `spec.domain` → LaunchDomain: processor, memory, firmware; pure. */
import { createHash } from "node:crypto";
import type { Devices } from "../../api/devices.ts";
import { MAX_VCPUS } from "../../api/domain-statistics.ts";
import type { Accelerator, LaunchDomain } from "../../api/launch-spec.ts";
import { LAUNCHER_PATHS } from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { compareQuantities, parseQuantity } from "../../lib/quantity.ts";
import { assignIoThreads } from "./io-threads.ts";
import { HUGEPAGE_BYTES, TCG_CACHE_BYTES } from "./memory.ts";
import { SpecError, withoutNul } from "./spec-error.ts";

type Spec = VirtualMachineInstance["spec"];

const MIN_GUEST_MEMORY = "1Mi";
/** More than any machine has, and far below what a number holds to the byte. */
const MAX_GUEST_MEMORY = "64Ti";
const DEFAULT_MACHINE_TYPE = "q35";

/** @throws SpecError when the spec holds what the CRD's schema should have refused */
export function resolveDomain(vmi: VirtualMachineInstance, accelerator: Accelerator): LaunchDomain {
  const { domain } = vmi.spec;
  const { devices, firmware } = domain;
  const kernelBoot = firmware?.kernelBoot;
  const { efi, bios } = firmware?.bootloader ?? {};
  const ioThreads = assignIoThreads(vmi.spec, vcpuCount(vmi.spec)).count;
  return {
    uuid: uuidOf(vmi),
    ...(firmware?.serial === undefined ? {} : { serial: firmware.serial }),
    machineType: domain.machine?.type || DEFAULT_MACHINE_TYPE,
    accelerator,
    cpu: resolveCpu(vmi.spec),
    ...resolveMemory(vmi.spec),
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
    ...(efi === undefined ? {} : { efi: { secureBoot: efi.secureBoot ?? true } }),
    ...(bios?.useSerial === true ? { biosSerial: true } : {}),
    ...resolvePeripherals(devices),
    ...(ioThreads === 0 ? {} : { ioThreads }),
  };
}

/** KubeVirt's defaults. */
function resolvePeripherals({ video, sound, watchdog, tpm, inputs }: Devices): Partial<LaunchDomain> {
  return {
    ...(video?.type === undefined ? {} : { video: video.type }),
    ...(sound === undefined ? {} : { sound: sound.model ?? "ich9" }),
    ...(watchdog === undefined ? {} : { watchdog: { action: watchdog.i6300esb?.action ?? "reset" } }),
    ...(tpm === undefined || tpm.enabled === false ? {} : { tpm: true }),
    ...(inputs === undefined ? {} : { inputs: inputs.map(({ name, bus }) => ({ name, bus: bus ?? "usb" })) }),
  };
}

function inKernelBoot(name: string, path: string | undefined): Record<string, string> {
  return path === undefined
    ? {}
    : { [name]: `${LAUNCHER_PATHS.kernelBoot}/${withoutNul(path, name).replace(/^\/+/, "")}` };
}

/** KubeVirt's rule: without a topology, as many sockets as the CPU limit or request asks for, else one. */
function resolveCpu(spec: Spec): LaunchDomain["cpu"] {
  const { cpu, resources } = spec.domain;
  const hasTopology = cpu?.cores !== undefined || cpu?.sockets !== undefined || cpu?.threads !== undefined;
  const quantity = resources?.limits?.cpu ?? resources?.requests?.cpu;
  const fromResources =
    hasTopology || quantity === undefined ? 1 : Math.max(1, Math.ceil(parseQuantity(quantity)));
  if (fromResources > MAX_VCPUS) {
    const amount = `${fromResources} vCPUs, as many as resources ask for`;
    throw new SpecError(
      `the guest would have ${amount}, and may have ${MAX_VCPUS}: set spec.domain.cpu.cores`,
    );
  }
  return {
    sockets: cpu?.sockets ?? fromResources,
    cores: cpu?.cores ?? 1,
    threads: cpu?.threads ?? 1,
    model: cpu?.model ?? "host-model",
    ...(cpu?.dedicatedCpuPlacement === true
      ? { dedicated: { isolateEmulatorThread: cpu.isolateEmulatorThread ?? false } }
      : {}),
  };
}

export function vcpuCount(spec: Spec): number {
  const { sockets, cores, threads } = resolveCpu(spec);
  return sockets * cores * threads;
}

/** @throws SpecError */
function resolveMemory(spec: Spec): Pick<LaunchDomain, "memoryBytes" | "hugepageBytes"> {
  const memoryBytes = guestMemoryBytes(spec);
  const pageSize = spec.domain.memory?.hugepages?.pageSize;
  if (pageSize === undefined) return { memoryBytes };
  const hugepageBytes = HUGEPAGE_BYTES[pageSize];
  // The schema's rule does not see fractions of a byte.
  if (memoryBytes % hugepageBytes !== 0)
    throw new SpecError(
      `the guest's ${memoryBytes} bytes of memory are no multiple of a huge page's ${pageSize}`,
    );
  return { memoryBytes, hugepageBytes };
}

/** `memory.guest`, else the memory request, else the memory limit. @throws SpecError when none is given */
function guestMemoryBytes(spec: Spec): number {
  const { memory, resources } = spec.domain;
  const [field, quantity] =
    [
      ["memory.guest", memory?.guest] as const,
      ["resources.requests.memory", resources?.requests?.memory] as const,
      ["resources.limits.memory", resources?.limits?.memory] as const,
    ].find(([, amount]) => amount !== undefined) ?? [];
  if (quantity === undefined) {
    throw new SpecError(
      "spec.domain.memory.guest is missing, and no memory request or limit stands in for it",
    );
  }
  if (
    compareQuantities(quantity, MIN_GUEST_MEMORY) < 0 ||
    compareQuantities(quantity, MAX_GUEST_MEMORY) > 0
  ) {
    const range = `${MIN_GUEST_MEMORY} to ${MAX_GUEST_MEMORY}`;
    throw new SpecError(`spec.domain.${field} is ${quantity}, and a guest may have ${range} of memory`);
  }
  // A fraction of a byte, which a quantity may have, is none that a guest could be given.
  return Math.floor(parseQuantity(quantity));
}

/** `firmware.uuid`, else one of RFC 9562 version 8: the same in all incarnations of a VM, and no other VM's. */
export function uuidOf(vmi: VirtualMachineInstance): string {
  const { uuid } = vmi.spec.domain.firmware ?? {};
  if (uuid !== undefined) return uuid;
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
