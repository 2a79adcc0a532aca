/** CPU bandwidth of a launcher's two cgroups, its pod's and its container's, and what its limit makes of it. Pure. */
import { type CpuBurstStrategy, hasKernelBurst } from "../../api/cpu-burst.ts";

/** Of one cgroup, in microseconds. */
export interface Bandwidth {
  /** CPU time per period; null: as much as there is. */
  readonly quotaMicros: number | null;
  readonly periodMicros: number;
  /** What may be saved up for later periods; null where the kernel has no burst (Linux < 5.14). */
  readonly burstMicros: number | null;
}

export type Level = "pod" | "container";
export const LEVELS: readonly Level[] = ["pod", "container"];

export type PodBandwidth = Readonly<Record<Level, Bandwidth>>;

/** What a cgroup shall have. */
export interface BandwidthTarget {
  readonly quotaMicros: number | null;
  readonly burstMicros: number;
}

export type PodTarget = Readonly<Record<Level, BandwidthTarget>>;

/** The kernel takes no smaller quota (min_bw_quota_period_us); the kubelet rounds smaller limits up to it. */
export const MIN_QUOTA_MICROS = 1_000;

/** The quota that the kubelet writes for a limit. */
export function quotaOfLimit(milliCpu: number, periodMicros: number): number {
  return Math.max(MIN_QUOTA_MICROS, Math.floor((milliCpu * periodMicros) / 1_000));
}

/**
 * What the container may save up. Mainline takes no burst above the quota. It is cut to the base even where the quota
 * is higher now: the kubelet, which writes the base, would be refused.
 */
export function burstOfBase(strategy: CpuBurstStrategy, baseQuotaMicros: number): number {
  if (!hasKernelBurst(strategy.policy)) return 0;
  return Math.min(Math.floor((baseQuotaMicros * strategy.percent) / 100), baseQuotaMicros);
}
