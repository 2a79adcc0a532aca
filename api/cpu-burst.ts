/**
 * CPU burst: what a VM and the cluster's configuration say of it, and which strategy follows for one VM. Fields, ranges
 * and defaults are Koordinator's where docs/cpu-burst.md names no difference. The schemas are apart: agents need none. Pure.
 */
import type { CpuBurst, CpuBurstConfiguration, NodeSelector } from "./cpu-burst-schema.ts";

/** Nothing; the kernel's burst; quotas scaled by the load of VM and node; both. */
export const BURST_POLICIES = ["none", "cpuBurstOnly", "cfsQuotaBurstOnly", "auto"] as const;
export type BurstPolicy = (typeof BURST_POLICIES)[number];

export const MIN_BURST_PERCENT = 1;
/** Koordinator's default is 1000; mainline kernels take no more than 100, and what is above is cut to it. */
export const MAX_BURST_PERCENT = 10_000;
export const MIN_QUOTA_PERCENT = 100;
export const MAX_QUOTA_PERCENT = 10_000;
/** No end. */
export const UNLIMITED_QUOTA_PERIOD_SECONDS = -1;
/** A day. */
export const MAX_QUOTA_PERIOD_SECONDS = 86_400;
export const MAX_NODE_STRATEGIES = 64;

/** How one VM may burst. */
export interface CpuBurstStrategy {
  readonly policy: BurstPolicy;
  /** What the kernel lets a VM save up of unused quota, in per cent of its limit for one period. */
  readonly percent: number;
  /** The highest quota, in per cent of the limit. */
  readonly quotaPercent: number;
  /** How long a VM may run at the highest quota before it has to save up again; -1: for ever. */
  readonly quotaPeriodSeconds: number;
}

/** How the VMs of one node may burst. */
export interface NodeBurstStrategy extends CpuBurstStrategy {
  /** Share of the node's CPUs in use, those of pinned VMs apart, from which scaled quotas are taken back. */
  readonly sharePoolThresholdPercent: number;
}

export const DEFAULT_BURST_STRATEGY: NodeBurstStrategy = {
  policy: "cpuBurstOnly",
  percent: 100,
  quotaPercent: 300,
  quotaPeriodSeconds: UNLIMITED_QUOTA_PERIOD_SECONDS,
  sharePoolThresholdPercent: 50,
};

/** What the schema can't say; undefined where nothing is wrong, else a sentence that begins with the field. */
export function burstConfigurationProblem(configuration: CpuBurstConfiguration): string | undefined {
  const names = new Set<string>();
  for (const [index, { name, nodeSelector }] of (configuration.nodeStrategies ?? []).entries()) {
    const at = `nodeStrategies[${index}]`;
    if (names.has(name)) return `${at}.name: "${name}" is the name of an earlier one`;
    names.add(name);
    const { matchLabels = {}, matchExpressions = [] } = nodeSelector;
    if (Object.keys(matchLabels).length + matchExpressions.length === 0) {
      return `${at}.nodeSelector: it names no label; what holds for all nodes belongs into clusterStrategy`;
    }
    for (const [number, { operator, values = [] }] of matchExpressions.entries()) {
      const takesValues = operator === "In" || operator === "NotIn";
      if (takesValues !== values.length > 0) {
        const verdict = takesValues ? "needs" : "takes no";
        return `${at}.nodeSelector.matchExpressions[${number}].values: ${operator} ${verdict} values`;
      }
    }
  }
  return undefined;
}

/**
 * The strategy of a node: the defaults, over them the cluster's, over it that of the first node strategy that selects
 * the node.
 */
export function nodeBurstStrategy(
  configuration: CpuBurstConfiguration,
  labels: Readonly<Record<string, string>>,
): NodeBurstStrategy {
  const { clusterStrategy = {}, nodeStrategies = [] } = configuration;
  const selected = nodeStrategies.find(({ nodeSelector }) => selects(nodeSelector, labels));
  return overlay(overlay(DEFAULT_BURST_STRATEGY, clusterStrategy), selected ?? {});
}

/** The strategy of a VM on a node; what the VM doesn't say is the node's. */
export function vmBurstStrategy(node: NodeBurstStrategy, vm: CpuBurst = {}): CpuBurstStrategy {
  const { policy, percent, quotaPercent, quotaPeriodSeconds } = overlay(node, vm);
  return { policy, percent, quotaPercent, quotaPeriodSeconds };
}

/** Whether a policy has the kernel carry unused quota over. */
export function hasKernelBurst(policy: BurstPolicy): boolean {
  return policy === "cpuBurstOnly" || policy === "auto";
}

/** Whether a policy raises quotas. */
export function hasQuotaBurst(policy: BurstPolicy): boolean {
  return policy === "cfsQuotaBurstOnly" || policy === "auto";
}

type PartialStrategy = { readonly [Field in keyof NodeBurstStrategy]?: NodeBurstStrategy[Field] | undefined };

function overlay(below: NodeBurstStrategy, above: PartialStrategy): NodeBurstStrategy {
  return {
    policy: above.policy ?? below.policy,
    percent: above.percent ?? below.percent,
    quotaPercent: above.quotaPercent ?? below.quotaPercent,
    quotaPeriodSeconds: above.quotaPeriodSeconds ?? below.quotaPeriodSeconds,
    sharePoolThresholdPercent: above.sharePoolThresholdPercent ?? below.sharePoolThresholdPercent,
  };
}

function selects(
  { matchLabels = {}, matchExpressions = [] }: NodeSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((expression) => meets(labels[expression.key], expression))
  );
}

type Expression = NonNullable<NodeSelector["matchExpressions"]>[number];

function meets(value: string | undefined, { operator, values = [] }: Expression): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}
