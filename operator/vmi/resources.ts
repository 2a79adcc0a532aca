/** A VMI's resources → its launcher's: KubeVirt's mapping; pure. */
import type { Configuration } from "../../api/configuration.ts";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import { DEVICE_KVM, DEVICE_LAUNCHER, DEVICE_TUN } from "../../api/names.ts";
import type { Quantity } from "../../api/schema.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { ResourceRequirements } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { namedResources } from "./dedicated-cpu.ts";
import { guestAmounts, type MemoryAmounts, overheadBytes } from "./memory.ts";
import { mebibytes, tmpfsBytes } from "./pod-volumes.ts";

/** What is requested for VMs that don't say themselves. */
export type Overcommit = Pick<Configuration, "cpuAllocationRatio" | "memoryOvercommit">;

/** Of the node's disk: logs, and the container's own files. KubeVirt's figure. */
const EPHEMERAL_STORAGE_BYTES = 50_000_000;

/**
 * What the user asked for plus what the machine itself needs. A limit without a request requests as much, as in any
 * pod; without both, a CPU is requested for so many vCPUs. The guest's memory is `guestAmounts`'.
 */
export function resourcesOf(
  vmi: VirtualMachineInstance,
  launch: LaunchSpec,
  overcommit: Overcommit,
): ResourceRequirements {
  const named = namedResources(vmi.spec);
  const { limits = {}, overcommitGuestOverhead, requests = {} } = named;
  const overhead = overheadBytes(launch.domain);
  const files = tmpfsBytes(vmi, launch);
  const devices: Record<string, string> = { [DEVICE_LAUNCHER]: "1" };
  if (launch.interfaces.length > 0) devices[DEVICE_TUN] = "1";
  if (launch.domain.accelerator === "kvm") devices[DEVICE_KVM] = "1";
  const memory = guestAmounts(
    { ...vmi.spec.domain, resources: named },
    launch.domain.memoryBytes,
    overcommit.memoryOvercommit,
  );
  return {
    requests: {
      cpu: String(requests.cpu ?? limits.cpu ?? `${defaultMilliCpu(launch, overcommit)}m`),
      memory: mebibytes(memory.request + files + (overcommitGuestOverhead === true ? 0 : overhead)),
      ...ephemeralStorage(requests),
      ...hugepages(memory),
      ...devices,
    },
    limits: {
      ...(limits.cpu === undefined ? {} : { cpu: String(limits.cpu) }),
      ...(memory.limit === undefined ? {} : { memory: mebibytes(memory.limit + overhead + files) }),
      ...ephemeralStorage(limits),
      ...hugepages(memory),
      ...devices,
    },
  };
}

function defaultMilliCpu({ domain }: LaunchSpec, { cpuAllocationRatio }: Overcommit): number {
  const { cores, sockets, threads } = domain.cpu;
  return Math.max(1, Math.floor((1000 * sockets * cores * threads) / cpuAllocationRatio));
}

function hugepages({ hugepages: pages }: MemoryAmounts): Record<string, string> {
  return pages === undefined ? {} : { [`hugepages-${pages.pageSize}`]: mebibytes(pages.bytes) };
}

function ephemeralStorage({ "ephemeral-storage": bytes }: { readonly "ephemeral-storage"?: Quantity }) {
  return bytes === undefined
    ? {}
    : { "ephemeral-storage": String(Math.floor(parseQuantity(bytes)) + EPHEMERAL_STORAGE_BYTES) };
}
