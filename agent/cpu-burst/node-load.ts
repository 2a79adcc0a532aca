/**
 * How busy the CPUs are that VMs share, from /proc/stat. Which these are a launcher's own cpuset says: the kubelet takes
 * the CPUs of pinned VMs out of everybody else's. Pure: the caller reads the file and the clock.
 */

export type NodeState = "idle" | "cooling" | "overload" | "unknown";

/** Koordinator looks at the mean of five of its intervals. */
const WINDOW_MS = 5_000;
/** Below this part of the threshold a node is idle; quotas are raised only then, or it would swing about the threshold. */
const IDLE_SHARE = 0.9;

/** Ticks since the boot. */
interface CpuTime {
  readonly busy: number;
  readonly total: number;
}

interface Sample {
  readonly atMs: number;
  readonly cpus: ReadonlyMap<number, CpuTime>;
}

export class NodeLoad {
  #samples: Sample[] = [];

  /** @param nowMs of a clock that doesn't go back */
  add(stat: string, nowMs: number): void {
    const sample = { atMs: nowMs, cpus: parseCpuTimes(stat) };
    const recent = this.#samples.filter(({ atMs }) => nowMs - atMs <= WINDOW_MS);
    this.#samples = [...recent, sample];
  }

  /** Nobody measures for a while: what was measured is of another time. */
  clear(): void {
    this.#samples = [];
  }

  /** Share of these CPUs that was in use of late, 0 to 1; of all CPUs without a set; undefined while nobody knows. */
  use(cpus?: ReadonlySet<number>): number | undefined {
    const first = this.#samples.at(0);
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || first === last) return undefined;
    let busy = 0;
    let total = 0;
    for (const [cpu, now] of last.cpus) {
      const before = first.cpus.get(cpu);
      // One that was plugged in meanwhile, or is not shared.
      if (before === undefined || cpus?.has(cpu) === false) continue;
      // Counters of a CPU that was unplugged and came back may start anew, and iowait may go back (proc_stat(5)).
      busy += Math.max(0, now.busy - before.busy);
      total += Math.max(0, now.total - before.total);
    }
    return total === 0 ? undefined : Math.min(1, busy / total);
  }
}

export function nodeState(use: number | undefined, thresholdPercent: number): NodeState {
  if (use === undefined) return "unknown";
  const threshold = thresholdPercent / 100;
  if (use >= threshold) return "overload";
  return use >= IDLE_SHARE * threshold ? "cooling" : "idle";
}

/** Per CPU; time stolen by a hypervisor counts as in use: nobody here can have it. */
export function parseCpuTimes(stat: string): ReadonlyMap<number, CpuTime> {
  const cpus = new Map<number, CpuTime>();
  for (const [, cpu = "", ticks = ""] of stat.matchAll(/^cpu(\d+) +([\d ]+)$/gm)) {
    // Guests' time is in user and nice already.
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = ticks
      .split(" ")
      .map(Number);
    const busy = user + nice + system + irq + softirq + steal;
    cpus.set(Number(cpu), { busy, total: busy + idle + iowait });
  }
  return cpus;
}
