/** Has one launcher's quota follow its load and the node's, a step a second. */

import type { LauncherCpu } from "./launcher-cpu.ts";
import type { NodeState } from "./node-load.ts";
import { scaledQuota, scalingOperation } from "./quota-scaling.ts";
import { ASSUMED_USE_PERCENT, advanceBucket, bucketCapacity, type TokenBucket } from "./token-bucket.ts";

/** Counters of a container at a time. */
interface Reading {
  readonly atMs: number;
  readonly usageSeconds: number;
  readonly periods: number;
  readonly throttledPeriods: number;
}

/** What a container did between two readings; undefined where nobody knows. */
export interface Load {
  /** Of its limit. */
  readonly usePercent: number | undefined;
  /** Of the periods in which it ran. */
  readonly throttledRatio: number | undefined;
}

export class Scaler {
  readonly #launcher: LauncherCpu;
  readonly #random: () => number;
  #last: Reading | undefined;
  #bucket: TokenBucket | undefined;

  /** @param random in [0, 1) */
  constructor(launcher: LauncherCpu, random: () => number) {
    this.#launcher = launcher;
    this.#random = random;
  }

  /** Undefined where the strategy sets no limit. */
  get tokens(): number | undefined {
    return this.#bucket?.tokens;
  }

  /** @throws as the cgroup's files do */
  step(node: NodeState, nowMs: number): void {
    const { announced, base, quota } = this.#launcher;
    if (announced === undefined || base === undefined) return;
    const now = { atMs: nowMs, ...this.#launcher.load() };
    const { usePercent = ASSUMED_USE_PERCENT, throttledRatio } = loadBetween(
      this.#last,
      now,
      announced.baseMilliCpu,
    );
    this.#last = now;
    const { policy, quotaPercent } = announced.burst;
    const capacity = bucketCapacity(announced.burst);
    this.#bucket =
      capacity === undefined
        ? undefined
        : advanceBucket(this.#bucket, capacity, usePercent, nowMs, this.#random);
    if (quota === undefined) return;
    const hasTokens = this.#bucket === undefined || this.#bucket.tokens > 0;
    const operation = scalingOperation({ policy, hasTokens, throttledRatio, node });
    const next = scaledQuota(operation, quota, base.container, quotaPercent);
    if (next !== quota) this.#launcher.scale(next, nowMs);
  }
}

/** Counters that went back are of another life of the cgroup: nothing is known then. Pure. */
export function loadBetween(before: Reading | undefined, now: Reading, limitMilliCpu: number): Load {
  if (before === undefined) return { usePercent: undefined, throttledRatio: undefined };
  const seconds = (now.atMs - before.atMs) / 1_000;
  const used = now.usageSeconds - before.usageSeconds;
  const periods = now.periods - before.periods;
  const throttled = now.throttledPeriods - before.throttledPeriods;
  const isUseKnown = seconds > 0 && used >= 0;
  const isThrottlingKnown = periods > 0 && throttled >= 0;
  return {
    usePercent: isUseKnown ? (used / seconds / (limitMilliCpu / 1_000)) * 100 : undefined,
    throttledRatio: isThrottlingKnown ? throttled / periods : undefined,
  };
}
