/** What `cpu.dedicatedCpuPlacement` and `cpu.isolateEmulatorThread` go with, as CEL rules of `spec.domain` and its `cpu`. */
import type { Rule } from "./schema.ts";

const isDedicated =
  "(has(self.cpu) && has(self.cpu.dedicatedCpuPlacement) && self.cpu.dedicatedCpuPlacement)";
const hasTopology = "(has(self.cpu.sockets) || has(self.cpu.cores) || has(self.cpu.threads))";
const vcpus =
  "(has(self.cpu.sockets) ? self.cpu.sockets : 1) * (has(self.cpu.cores) ? self.cpu.cores : 1) * " +
  "(has(self.cpu.threads) ? self.cpu.threads : 1)";

const has = (list: "limits" | "requests", resource: "cpu" | "memory") =>
  `(has(self.resources) && has(self.resources.${list}) && has(self.resources.${list}.${resource}))`;
const amount = (list: "limits" | "requests", resource: "cpu" | "memory") =>
  `quantity(string(self.resources.${list}.${resource}))`;

/** Without a topology the amount itself is the number of vCPUs. A list of one names it: the cost limit allows one reading. */
function wholeCpus(list: "limits" | "requests"): Rule {
  return {
    rule:
      `!${isDedicated} || !${has(list, "cpu")} || [${amount(list, "cpu")}.asApproximateFloat()].all(cpus, ` +
      `${hasTopology} ? cpus == double(${vcpus}) : cpus > 0.0 && cpus == double(int(cpus)))`,
    message: `dedicatedCpuPlacement gives a whole CPU to each vCPU: set ${list}.cpu to the number of vCPUs, or remove it`,
    fieldPath: `.resources.${list}.cpu`,
  };
}

/** The pod has to be of the QoS class Guaranteed, or the kubelet gives no CPU away. */
function equalAmounts(resource: "cpu" | "memory"): Rule {
  return {
    rule:
      `!${isDedicated} || !${has("limits", resource)} || !${has("requests", resource)} || ` +
      `${amount("limits", resource)}.compareTo(${amount("requests", resource)}) == 0`,
    message: `requests.${resource} must equal limits.${resource} with dedicatedCpuPlacement`,
    fieldPath: `.resources.requests.${resource}`,
  };
}

/** Of `spec.domain.cpu`. */
export const dedicatedCpuRules: readonly Rule[] = [
  {
    rule:
      "!has(self.isolateEmulatorThread) || !self.isolateEmulatorThread || " +
      "(has(self.dedicatedCpuPlacement) && self.dedicatedCpuPlacement)",
    message: "isolateEmulatorThread needs dedicatedCpuPlacement: true",
    fieldPath: ".isolateEmulatorThread",
  },
  {
    rule:
      "!has(self.dedicatedCpuPlacement) || !self.dedicatedCpuPlacement || !has(self.burst) || " +
      "(has(self.burst.policy) && self.burst.policy == 'none')",
    message: "dedicated CPUs have no limit to burst above: remove burst",
    fieldPath: ".burst",
  },
];

/** Of `spec.domain`. */
export const dedicatedResourceRules: readonly Rule[] = [
  wholeCpus("limits"),
  wholeCpus("requests"),
  equalAmounts("cpu"),
  equalAmounts("memory"),
  {
    rule:
      `!${isDedicated} || !has(self.memory) || !has(self.memory.guest) || !${has("requests", "memory")} || ` +
      `quantity(string(self.memory.guest)).compareTo(${amount("requests", "memory")}) <= 0`,
    message:
      "memory can't be overcommitted with dedicatedCpuPlacement: requests.memory must not be below memory.guest",
    fieldPath: ".resources.requests.memory",
  },
  {
    rule:
      `!${isDedicated} || !has(self.resources) || !has(self.resources.overcommitGuestOverhead) || ` +
      "!self.resources.overcommitGuestOverhead",
    message: "memory can't be overcommitted with dedicatedCpuPlacement: remove overcommitGuestOverhead",
    fieldPath: ".resources.overcommitGuestOverhead",
  },
];
