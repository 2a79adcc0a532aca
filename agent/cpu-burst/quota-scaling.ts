/**
 * How a VM's quota follows its own load and the node's, second by second: Koordinator's steps and rules. A VM that was
 * throttled gets a fifth more, as long as its tokens last and the node is idle; a node that fills takes a fifth back.
 * Pure.
 */
import { type BurstPolicy, hasQuotaBurst } from "../../api/cpu-burst.ts";
import type { NodeState } from "./node-load.ts";

export type ScalingOperation = "up" | "remain" | "down" | "reset";

const UP_FACTOR = 1.2;
const DOWN_FACTOR = 0.8;

export interface ScalingInput {
  readonly policy: BurstPolicy;
  /** Whether there are tokens left, or none are needed. */
  readonly hasTokens: boolean;
  /** Of the periods since the last look, the share in which the container was throttled; undefined while nobody knows. */
  readonly throttledRatio: number | undefined;
  readonly node: NodeState;
}

export function scalingOperation({
  policy,
  hasTokens,
  throttledRatio,
  node,
}: ScalingInput): ScalingOperation {
  if (!hasQuotaBurst(policy)) return "reset";
  const own = !hasTokens ? "down" : (throttledRatio ?? 0) > 0 ? "up" : "remain";
  switch (node) {
    case "idle":
      return own;
    case "overload":
      return "down";
    // Between the two, and while nobody knows: no more than there is.
    case "cooling":
    case "unknown":
      return own === "up" ? "remain" : own;
  }
}

/** The next quota in microseconds, from the base to the highest that the strategy allows. */
export function scaledQuota(
  operation: ScalingOperation,
  quotaMicros: number,
  baseMicros: number,
  quotaPercent: number,
): number {
  const highest = Math.max(baseMicros, Math.trunc((baseMicros * quotaPercent) / 100));
  const wanted = {
    up: Math.trunc(quotaMicros * UP_FACTOR),
    remain: quotaMicros,
    down: Math.trunc(quotaMicros * DOWN_FACTOR),
    reset: baseMicros,
  }[operation];
  return Math.max(baseMicros, Math.min(wanted, highest));
}
