/** Schemas of what a VM and the cluster's configuration say of CPU burst. */
import { type TProperties, Type } from "typebox";
import {
  BURST_POLICIES,
  MAX_BURST_PERCENT,
  MAX_NODE_STRATEGIES,
  MAX_QUOTA_PERCENT,
  MAX_QUOTA_PERIOD_SECONDS,
  MIN_BURST_PERCENT,
  MIN_QUOTA_PERCENT,
  UNLIMITED_QUOTA_PERIOD_SECONDS,
} from "./cpu-burst.ts";
import { choice, type Data, list, object, stringMap } from "./schema.ts";

function integer(minimum: number, maximum: number, description: string) {
  return Type.Optional(Type.Integer({ minimum, maximum, format: "int32", description }));
}

const strategyFields = {
  policy: Type.Optional(
    choice(BURST_POLICIES, {
      description:
        "none: no burst. cpuBurstOnly: unused CPU time of one period may be used in the next ones (the kernel's CFS burst). cfsQuotaBurstOnly: the limit is raised while the VM is throttled and the node has CPUs to spare. auto: both.",
    }),
  ),
  percent: integer(
    MIN_BURST_PERCENT,
    MAX_BURST_PERCENT,
    "CPU time that may be saved up, in per cent of the CPU limit for one period. Kernels take no more than 100, and what is above counts as 100.",
  ),
  quotaPercent: integer(
    MIN_QUOTA_PERCENT,
    MAX_QUOTA_PERCENT,
    "How far the limit may be raised, in per cent of it.",
  ),
  quotaPeriodSeconds: integer(
    UNLIMITED_QUOTA_PERIOD_SECONDS,
    MAX_QUOTA_PERIOD_SECONDS,
    "Seconds for which the VM may use the highest limit before it has to stay below its own again; -1: without end.",
  ),
} satisfies TProperties;

/** `domain.cpu.burst`. */
export const cpuBurstSchema = object(strategyFields, {
  description:
    "virtpod's own field: how the VM may use more CPU than its limit for a short time. Only where resources.limits.cpu is set. Default: what the cluster's configuration says of its node.",
});

const nodeStrategyFields = {
  ...strategyFields,
  sharePoolThresholdPercent: integer(
    0,
    100,
    "Per cent of a node's CPUs in use from which raised limits are taken back.",
  ),
} satisfies TProperties;

const selectorSchema = object(
  {
    matchLabels: Type.Optional(stringMap({ description: "Labels that the node has." })),
    matchExpressions: Type.Optional(
      list(
        object({
          key: Type.String({ minLength: 1, maxLength: 317 }),
          operator: choice(["In", "NotIn", "Exists", "DoesNotExist"]),
          values: Type.Optional(list(Type.String({ maxLength: 63 }), { maxItems: 64 })),
        }),
        { maxItems: 64, description: "Conditions that the node's labels all meet." },
      ),
    ),
  },
  { description: "Which nodes. A selector without conditions is none." },
);

/** `cpuBurst` of the cluster's configuration. */
export const cpuBurstConfigurationSchema = object({
  clusterStrategy: Type.Optional(object(nodeStrategyFields)),
  nodeStrategies: Type.Optional(
    list(
      object({
        name: Type.String({ minLength: 1, maxLength: 63 }),
        nodeSelector: selectorSchema,
        ...nodeStrategyFields,
      }),
      { maxItems: MAX_NODE_STRATEGIES },
    ),
  ),
});

export type CpuBurst = Data<typeof cpuBurstSchema>;
export type CpuBurstConfiguration = Data<typeof cpuBurstConfigurationSchema>;
export type NodeSelector = Data<typeof selectorSchema>;
