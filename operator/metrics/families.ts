/** The metrics of nodes and VMIs, under KubeVirt's names where it has one; pure. */
import type { LauncherCpuMetrics } from "../../api/agent-metrics.ts";
import type { DomainStatistics, MemoryStatistics } from "../../api/domain-statistics.ts";
import type { InstanceSample, NodeSample } from "./sample.ts";

export interface Value {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  read(samples: readonly NodeSample[]): Value[];
}

const MICROSECONDS = 1e6;

function ofInstances(
  name: string,
  type: Family["type"],
  help: string,
  read: (sample: InstanceSample) => readonly Value[],
): Family {
  return {
    name,
    type,
    help,
    read: (samples) =>
      samples.flatMap(({ instances, nodeName }) =>
        instances.flatMap((sample) =>
          read(sample).map(({ labels, value }) => ({
            labels: { node: nodeName, namespace: sample.namespace, name: sample.name, ...labels },
            value,
          })),
        ),
      ),
  };
}

function one(value: number | null | undefined): Value[] {
  return value === undefined || value === null ? [] : [{ labels: {}, value }];
}

function domain(
  name: string,
  type: Family["type"],
  help: string,
  read: (domain: DomainStatistics) => number,
) {
  return ofInstances(`kubevirt_vmi_${name}`, type, help, (sample) =>
    one(sample.domain && read(sample.domain)),
  );
}

function memory(name: string, field: keyof MemoryStatistics, help: string) {
  return ofInstances(
    `kubevirt_vmi_memory_${name}`,
    name.endsWith("_total") ? "counter" : "gauge",
    help,
    (sample) => one(sample.domain?.memory[field]),
  );
}

function vcpu(
  name: string,
  help: string,
  read: (vcpu: DomainStatistics["vcpus"][number]) => Value | undefined,
): Family {
  return ofInstances(`kubevirt_vmi_vcpu_${name}`, "counter", help, ({ domain }) =>
    (domain?.vcpus ?? []).map(read).filter((value) => value !== undefined),
  );
}

function cgroup(
  name: string,
  type: Family["type"],
  help: string,
  read: (cpu: LauncherCpuMetrics) => number | null | undefined,
): Family {
  return ofInstances(`virtpod_vmi_cpu_${name}`, type, help, ({ launcher }) =>
    launcher === undefined ? [] : one(read(launcher.cpu)),
  );
}

/** CPUs that a quota lets run at once. */
function cpus(quotaMicros: number | null, { periodMicros }: LauncherCpuMetrics): number | null {
  return quotaMicros === null || periodMicros === 0 ? null : quotaMicros / periodMicros;
}

function ofNodes(name: string, help: string, read: (sample: NodeSample) => readonly Value[]): Family {
  return {
    name,
    type: name.endsWith("_total") ? "counter" : "gauge",
    help,
    read: (samples) =>
      samples.flatMap((sample) =>
        read(sample).map(({ labels, value }) => ({ labels: { node: sample.nodeName, ...labels }, value })),
      ),
  };
}

const NODE_STATES = ["idle", "cooling", "overload", "unknown"] as const;

export const FAMILIES: readonly Family[] = [
  domain(
    "cpu_usage_seconds_total",
    "counter",
    "CPU seconds of the VM's qemu, all threads.",
    ({ cpu }) => cpu.seconds,
  ),
  domain("cpu_user_usage_seconds_total", "counter", "Of these in user mode.", ({ cpu }) => cpu.userSeconds),
  domain(
    "cpu_system_usage_seconds_total",
    "counter",
    "Of these in the kernel.",
    ({ cpu }) => cpu.systemSeconds,
  ),
  vcpu("seconds_total", "Seconds that the vCPU ran, by its present state.", ({ id, seconds, state }) => ({
    labels: { id: String(id), state },
    value: seconds,
  })),
  vcpu("wait_seconds_total", "Seconds that the vCPU waited for I/O.", ({ id, waitSeconds }) =>
    waitSeconds === undefined ? undefined : { labels: { id: String(id) }, value: waitSeconds },
  ),
  vcpu(
    "delay_seconds_total",
    "Seconds that the vCPU was ready and waited for a CPU.",
    ({ id, delaySeconds }) =>
      delaySeconds === undefined ? undefined : { labels: { id: String(id) }, value: delaySeconds },
  ),
  memory("domain_bytes", "domain", "Memory that the domain may have."),
  memory("actual_balloon_bytes", "actualBalloon", "Memory that the balloon leaves the guest."),
  memory("resident_bytes", "resident", "Memory of the node's that qemu holds."),
  memory("available_bytes", "available", "Memory that the guest sees."),
  memory("unused_bytes", "unused", "Memory that the guest leaves wholly unused."),
  memory("usable_bytes", "usable", "Memory that the guest could use without swapping."),
  memory("cached_bytes", "cached", "Page cache of the guest."),
  ofInstances(
    "kubevirt_vmi_memory_used_bytes",
    "gauge",
    "Memory that the guest uses: available less usable.",
    ({ domain }) => {
      const { available, usable } = domain?.memory ?? {};
      return one(available === undefined || usable === undefined ? undefined : available - usable);
    },
  ),
  memory("swap_in_traffic_bytes", "swapIn", "Bytes that the guest has swapped in."),
  memory("swap_out_traffic_bytes", "swapOut", "Bytes that the guest has swapped out."),
  memory("pgmajfault_total", "majorFaults", "Page faults of the guest that read a disk."),
  memory("pgminfault_total", "minorFaults", "Page faults of the guest that did not."),
  ofInstances(
    "virtpod_vmi_memory_usage_bytes",
    "gauge",
    "Memory in the cgroup of the VM's container, page cache included.",
    ({ launcher }) => one(launcher?.memory?.usageBytes),
  ),
  cgroup("usage_seconds_total", "counter", "CPU seconds of the VM's container.", (cpu) => cpu.usageSeconds),
  cgroup("periods_total", "counter", "Periods of the CPU quota in which the VM ran.", (cpu) => cpu.periods),
  cgroup(
    "throttled_periods_total",
    "counter",
    "Of these those in which it was stopped.",
    (cpu) => cpu.throttledPeriods,
  ),
  cgroup(
    "throttled_seconds_total",
    "counter",
    "Seconds for which it was stopped.",
    (cpu) => cpu.throttledSeconds,
  ),
  cgroup("limit_cpus", "gauge", "CPU limit of the VM's container.", (cpu) => cpus(cpu.baseQuotaMicros, cpu)),
  cgroup("quota_cpus", "gauge", "CPUs that its quota lets it use now.", (cpu) => cpus(cpu.quotaMicros, cpu)),
  cgroup(
    "burst_seconds",
    "gauge",
    "CPU seconds that it may have saved up for a period, beside its quota.",
    ({ burstMicros }) => (burstMicros === null ? null : burstMicros / MICROSECONDS),
  ),
  cgroup("burst_tokens", "gauge", "Per cent seconds left for running above the limit.", (cpu) => cpu.tokens),
  cgroup(
    "quota_adopted_total",
    "counter",
    "Rewrites of the quota by the kubelet that were kept.",
    (cpu) => cpu.adopted,
  ),
  cgroup(
    "quota_repaired_total",
    "counter",
    "Rewrites by strangers that were taken back.",
    (cpu) => cpu.repaired,
  ),
  cgroup(
    "burst_resets_total",
    "counter",
    "Times that quota and burst were put back to the limit.",
    (cpu) => cpu.resets,
  ),
  cgroup("burst_failures_total", "counter", "Writes that the kernel refused.", (cpu) => cpu.failures),
  cgroup("burst_in_force", "gauge", "0 while the VM's burst can't be as it is wanted.", ({ problem }) =>
    problem === undefined ? 1 : 0,
  ),
  ofNodes("virtpod_node_agent_measured", "1 where the node's agent answered when it was asked.", ({ node }) =>
    one(node === undefined ? 0 : 1),
  ),
  ofNodes("virtpod_node_cpu_burst_supported", "1 where the node's kernel has CPU burst.", ({ node }) =>
    node === undefined || node.kernelBurst === "unknown" ? [] : one(node.kernelBurst === "supported" ? 1 : 0),
  ),
  ofNodes("virtpod_node_cpu_burst_state", "1 for the load that scaled quotas go by.", ({ node }) =>
    node === undefined
      ? []
      : NODE_STATES.map((state) => ({ labels: { state }, value: node.state === state ? 1 : 0 })),
  ),
  ofNodes(
    "virtpod_agent_refusals_total",
    "Launchers that the node's agent turned away, by why.",
    ({ node }) => Object.entries(node?.refusals ?? {}).map(([code, value]) => ({ labels: { code }, value })),
  ),
  ofNodes("virtpod_node_share_pool_use_ratio", "Use of the CPUs that VMs share.", ({ node }) =>
    one(node?.sharePoolUse),
  ),
];
