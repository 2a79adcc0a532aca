/**
 * Which writes, in which order, bring a launcher's cgroups from what they have to what they shall have. Every write is
 * absolute, and the kernel takes each of them (kernel/sched/core.c, tg_set_bandwidth):
 *   - 0 ≤ burst ≤ quota wherever there is a quota: so bursts sink before quotas do, and rise after them;
 *   - on cgroup v1 a child's quota per period is not above its parent's: so the pod's rises before the container's, and
 *     sinks after it.
 * Pure.
 */
import {
  type BandwidthTarget,
  type Level,
  MIN_QUOTA_MICROS,
  type PodBandwidth,
  type PodTarget,
} from "./bandwidth.ts";

export interface BandwidthWrite {
  readonly level: Level;
  readonly value: "quota" | "burst";
  /** Null: no quota. */
  readonly micros: number | null;
}

/**
 * The nearest target that the kernel takes: a burst is cut to its quota, and is 0 without one (it would be kept, and no
 * quota below it could ever be written again); the pod's quota has room for the container's.
 */
export function lawfulTarget(
  target: PodTarget,
  periods: Readonly<Record<Level, { readonly periodMicros: number }>>,
): PodTarget {
  const container = atLeastMinimum(target.container);
  let pod = atLeastMinimum(target.pod);
  if (container.quotaMicros !== null && pod.quotaMicros !== null) {
    const needed = (container.quotaMicros * periods.pod.periodMicros) / periods.container.periodMicros;
    pod = { ...pod, quotaMicros: Math.max(pod.quotaMicros, Math.ceil(needed)) };
  }
  return { pod: withLawfulBurst(pod), container: withLawfulBurst(container) };
}

/** The writes from `actual` to `lawfulTarget(target)`; none where nothing differs. */
export function planWrites(actual: PodBandwidth, target: PodTarget): readonly BandwidthWrite[] {
  const wanted = lawfulTarget(target, actual);
  return [
    ...burst("container", "sinks", actual, wanted),
    ...burst("pod", "sinks", actual, wanted),
    ...quota("pod", "rises", actual, wanted),
    // In either direction: the pod's is the higher of its two quotas here.
    ...quota("container", "rises", actual, wanted),
    ...quota("container", "sinks", actual, wanted),
    ...quota("pod", "sinks", actual, wanted),
    ...burst("pod", "rises", actual, wanted),
    ...burst("container", "rises", actual, wanted),
  ];
}

type Direction = "rises" | "sinks";

function quota(
  level: Level,
  direction: Direction,
  actual: PodBandwidth,
  wanted: PodTarget,
): BandwidthWrite[] {
  const micros = wanted[level].quotaMicros;
  const isDue = directionOf(actual[level].quotaMicros ?? Infinity, micros ?? Infinity) === direction;
  return isDue ? [{ level, value: "quota", micros }] : [];
}

function burst(
  level: Level,
  direction: Direction,
  actual: PodBandwidth,
  wanted: PodTarget,
): BandwidthWrite[] {
  const from = actual[level].burstMicros;
  const micros = wanted[level].burstMicros;
  return from !== null && directionOf(from, micros) === direction ? [{ level, value: "burst", micros }] : [];
}

function directionOf(from: number, to: number): Direction | undefined {
  if (from === to) return undefined;
  return to > from ? "rises" : "sinks";
}

function atLeastMinimum(target: BandwidthTarget): BandwidthTarget {
  const { quotaMicros } = target;
  return quotaMicros === null ? target : { ...target, quotaMicros: Math.max(MIN_QUOTA_MICROS, quotaMicros) };
}

function withLawfulBurst({ quotaMicros, burstMicros }: BandwidthTarget): BandwidthTarget {
  return { quotaMicros, burstMicros: Math.max(0, Math.min(burstMicros, quotaMicros ?? 0)) };
}
