/** Puts back what was raised in a launcher's cgroups, as a record tells: all that an agent needs that knows nothing else. */
import type { Logger } from "pino";
import { LEVELS, type Level, type PodBandwidth } from "./bandwidth.ts";
import { type CpuCgroup, cpuCgroup, isGone } from "./cgroup.ts";
import { type BurstState, baseQuotas, resetTarget } from "./decision.ts";
import type { CgroupLocation } from "./location.ts";
import { planWrites } from "./plan.ts";
import { type RaisedRecord, RaisedRecords } from "./record.ts";

export type PodCgroups = Readonly<Record<Level, CpuCgroup>>;

export function cgroupsOf({ version, pod, container }: CgroupLocation): PodCgroups {
  return { pod: cpuCgroup(version, pod), container: cpuCgroup(version, container) };
}

/**
 * What is gone has nothing raised; a pod whose container is gone may still be there for the next one.
 * @param state what the agent that raised it remembers
 * @throws Error with the code of the system call that failed
 */
export function resetBandwidth(record: RaisedRecord, state: BurstState = inheritedState(record)): void {
  const cgroups = cgroupsOf(record.location);
  const pod = whereThere(() => cgroups.pod.bandwidth());
  const container = whereThere(() => cgroups.container.bandwidth());
  if (pod === undefined) return;
  const actual: PodBandwidth = { pod, container: container ?? pod };
  const levels = container === undefined ? ["pod"] : LEVELS;
  for (const { level, value, micros } of planWrites(
    actual,
    resetTarget(state, actual, baseQuotas(record, actual)),
  )) {
    if (!levels.includes(level)) continue;
    whereThere(() => {
      if (value === "quota") cgroups[level].setQuota(micros);
      else cgroups[level].setBurst(micros ?? 0);
    });
  }
}

/** Whatever is found and isn't the base is the earlier agent's, if that scaled quotas. */
export function inheritedState({ hasScaledQuotas }: RaisedRecord): BurstState {
  return { ownership: {}, ...(hasScaledQuotas && { inheritsQuotas: true }) };
}

/** Resets all that the records in a directory tell of: for an agent that ends without its parts. Throws nothing. */
export function resetAll(directory: string, log: Logger): void {
  try {
    const records = new RaisedRecords(directory);
    for (const record of records.load(log)) {
      try {
        resetBandwidth(record);
        records.remove(record.podUid);
      } catch (error) {
        log.error({ err: error, podUid: record.podUid }, "the launcher's CPU bandwidth can't be reset");
      }
    }
  } catch (error) {
    log.error({ err: error, directory }, "what is raised can't be read");
  }
}

function whereThere<T>(access: () => T): T | undefined {
  try {
    return access();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
