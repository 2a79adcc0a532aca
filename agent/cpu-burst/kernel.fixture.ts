/**
 * What the kernel accepts of CPU bandwidth, after tg_set_bandwidth() and __cfs_schedulable() of Linux 6.18
 * (kernel/sched/core.c): an oracle for the plans, for tests.
 */
import type { Bandwidth, Level, PodBandwidth } from "./bandwidth.ts";
import type { BandwidthWrite } from "./plan.ts";

const MIN_MICROS = 1_000;
const MAX_PERIOD_MICROS = 1_000_000;
/** MAX_BW: 44 bits. */
const MAX_RUNTIME_MICROS = 2 ** 44 - 1;
const BW_SHIFT = 20n;

export type CgroupVersion = 1 | 2;

/** Why the kernel would answer EINVAL to a state; undefined where it would take it. */
export function violation(version: CgroupVersion, { pod, container }: PodBandwidth): string | undefined {
  return (
    ownViolation("pod", pod) ?? ownViolation("container", container) ?? treeViolation(version, pod, container)
  );
}

/** @throws Error as the kernel would refuse the write */
export function applyWrite(version: CgroupVersion, state: PodBandwidth, write: BandwidthWrite): PodBandwidth {
  const { level, value, micros } = write;
  const before = state[level];
  if (value === "burst" && before.burstMicros === null) throw new Error(`ENOENT: ${level} has no burst`);
  if (micros !== null && (!Number.isInteger(micros) || micros < 0)) throw new Error(`EINVAL: ${micros}`);
  const after: Bandwidth =
    value === "quota" ? { ...before, quotaMicros: micros } : { ...before, burstMicros: micros };
  const next = { ...state, [level]: after };
  const problem = violation(version, next);
  if (problem !== undefined) throw new Error(`EINVAL: ${JSON.stringify(write)}: ${problem}`);
  return next;
}

function ownViolation(
  level: Level,
  { quotaMicros, periodMicros, burstMicros }: Bandwidth,
): string | undefined {
  if (periodMicros < MIN_MICROS || periodMicros > MAX_PERIOD_MICROS)
    return `${level}: period ${periodMicros}`;
  if (quotaMicros === null) return undefined;
  if (quotaMicros < MIN_MICROS || quotaMicros > MAX_RUNTIME_MICROS) return `${level}: quota ${quotaMicros}`;
  const burst = burstMicros ?? 0;
  if (burst > quotaMicros) return `${level}: burst ${burst} above quota ${quotaMicros}`;
  if (burst + quotaMicros > MAX_RUNTIME_MICROS) return `${level}: burst ${burst} and quota ${quotaMicros}`;
  return undefined;
}

/** On cgroup v2 the smaller of the two holds, whatever is written. */
function treeViolation(version: CgroupVersion, pod: Bandwidth, container: Bandwidth): string | undefined {
  if (version === 2 || pod.quotaMicros === null || container.quotaMicros === null) return undefined;
  return ratio(container) > ratio(pod) ? "the container's quota is above the pod's" : undefined;
}

function ratio({ quotaMicros, periodMicros }: Bandwidth): bigint {
  return (BigInt(quotaMicros ?? 0) << BW_SHIFT) / BigInt(periodMicros);
}
