/** What a launcher's cgroups tell of its CPU and memory. */
import type { LauncherMetrics } from "../../api/agent-metrics.ts";
import { parseCpuList } from "../../lib/cpu-list.ts";
import { cpuCgroup, cpuList, isGone, memoryUsageBytes, usageSeconds } from "./cgroup.ts";
import type { CgroupLocation } from "./location.ts";

/** Of LauncherMetrics what the kernel counts. */
export interface Measurement extends Pick<LauncherMetrics, "memory"> {
  readonly cpu: Pick<
    LauncherMetrics["cpu"],
    | "usageSeconds"
    | "periods"
    | "throttledPeriods"
    | "throttledSeconds"
    | "quotaMicros"
    | "periodMicros"
    | "burstMicros"
  >;
}

/** @throws as CpuCgroup does */
export function measure({ version, container, accounting, memory }: CgroupLocation): Measurement {
  const cgroup = cpuCgroup(version, container);
  const usageBytes = whereThere(memory, (path) => memoryUsageBytes(version, path));
  return {
    cpu: { usageSeconds: usageSeconds(version, accounting), ...cgroup.stat(), ...cgroup.bandwidth() },
    ...(usageBytes !== undefined && { memory: { usageBytes } }),
  };
}

/** The CPUs that a launcher may run on; undefined where nobody says, and the node's whole load has to count. */
export function cpusOf({ version, cpuset }: CgroupLocation): ReadonlySet<number> | undefined {
  return whereThere(cpuset, (path) => parseCpuList(cpuList(version, path)));
}

/** Not every hierarchy is mounted, and not every kernel has the file. */
function whereThere<T>(path: string | undefined, read: (path: string) => T): T | undefined {
  if (path === undefined) return undefined;
  try {
    return read(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
