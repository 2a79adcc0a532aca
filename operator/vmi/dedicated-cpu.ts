/** `cpu.dedicatedCpuPlacement`: CPUs that the kubelet's static policy gives to one launcher alone; pure. */
import type { Resources } from "../../api/domain.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { vcpuCount } from "./domain.ts";

type Spec = VirtualMachineInstance["spec"];

export function isDedicated({ domain }: Spec): boolean {
  return domain.cpu?.dedicatedCpuPlacement === true;
}

/**
 * What the VMI names of its pod's resources. The kubelet gives CPUs away whole, and to pods of the QoS class Guaranteed
 * only: there CPU and memory are requested as much as they are limited. The CRD's rules refuse what contradicts that.
 */
export function namedResources(spec: Spec): Resources {
  const { memory, resources = {} } = spec.domain;
  if (!isDedicated(spec)) return resources;
  const { limits, requests } = resources;
  const bytes = limits?.memory ?? requests?.memory ?? memory?.guest;
  const same = { cpu: dedicatedCpuCount(spec), ...(bytes === undefined ? {} : { memory: bytes }) };
  return { ...resources, limits: { ...limits, ...same }, requests: { ...requests, ...same } };
}

/** One per vCPU, and one for all of the launcher beside them where that is isolated. */
function dedicatedCpuCount(spec: Spec): number {
  return vcpuCount(spec) + (spec.domain.cpu?.isolateEmulatorThread === true ? 1 : 0);
}
