/** The CPU that a VMI is to have, how it may burst above it, and whether its pod has it already; pure. */
import { type NodeBurstStrategy, vmBurstStrategy } from "../../api/cpu-burst.ts";
import type { AnnouncedCpu } from "../../api/uplink-protocol.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import { isDedicated } from "./dedicated-cpu.ts";
import { amountsOf, type CpuAmounts } from "./pod-cpu.ts";
import type { PodFacts } from "./pod-facts.ts";

/** The kernel takes no quota below a millisecond: the kubelet tells no smaller limit than this as made. */
const LEAST_QUOTA_MILLI_CPU = 10;
/** What agents take. A limit above 10,000 CPUs limits nothing, and leaves nothing to burst above. */
const MOST_MILLI_CPU = 10_000_000;

/** What the VMI names itself, in thousandths of a CPU; what it names not, and dedicated CPUs, are as the pod was made. */
export function wantedCpu({ spec }: VirtualMachineInstance): CpuAmounts {
  if (isDedicated(spec)) return {};
  const { limits, requests } = spec.domain.resources ?? {};
  return amountsOf(limits?.cpu, requests?.cpu ?? limits?.cpu);
}

/** What the pod's spec has to be changed to; undefined where it is as the VMI wants it. */
export function cpuChange(vmi: VirtualMachineInstance, { cpu }: PodFacts): CpuAmounts | undefined {
  const wanted = wantedCpu(vmi);
  const isLimit = wanted.limit !== undefined && wanted.limit !== cpu.limit;
  const isRequest = wanted.request !== undefined && wanted.request !== cpu.request;
  return isLimit || isRequest ? wanted : undefined;
}

/** The pod's CPU is about to change, or on its way: the kubelet must find its quota where it left it. */
export function isResizing(vmi: VirtualMachineInstance, pod: PodFacts): boolean {
  if (!pod.isRunning) return false;
  const { actual, limit, resize } = pod.cpu;
  if (resize?.reason === "Infeasible") return false;
  return cpuChange(vmi, pod) !== undefined || resize !== undefined || !isMade(limit, actual);
}

function isMade(limit: number | undefined, actual: CpuAmounts | undefined): boolean {
  if (limit === undefined || actual?.limit === undefined) return true;
  return Math.max(limit, LEAST_QUOTA_MILLI_CPU) === Math.max(actual.limit, LEAST_QUOTA_MILLI_CPU);
}

/**
 * What the pod's agent is told: the least of what is wanted, asked for and made, so that nothing bursts above a limit
 * that is being lowered, nor above one that isn't raised yet. Undefined without a limit, and for dedicated CPUs: nobody
 * else waits for them, and the kubelet sets them no quota.
 */
export function announcedCpu(
  vmi: VirtualMachineInstance,
  pod: PodFacts,
  node: NodeBurstStrategy,
): AnnouncedCpu | undefined {
  const { actual, limit, others = { beside: 0, before: 0 } } = pod.cpu;
  if (limit === undefined || isDedicated(vmi.spec)) return undefined;
  const limits = [limit, wantedCpu(vmi).limit, actual?.limit].filter((one) => one !== undefined);
  const baseMilliCpu = Math.min(...limits);
  const podBaseMilliCpu = Math.max(baseMilliCpu + others.beside, others.before);
  if (podBaseMilliCpu > MOST_MILLI_CPU) return undefined;
  return {
    baseMilliCpu,
    ...(podBaseMilliCpu === baseMilliCpu ? {} : { podBaseMilliCpu }),
    burst: vmBurstStrategy(node, vmi.spec.domain.cpu?.burst),
    ...(isResizing(vmi, pod) ? { isResizing: true } : {}),
  };
}
