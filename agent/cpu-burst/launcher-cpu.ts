/**
 * Keeps the CPU bandwidth of one launcher as announced. Nothing here throws: what fails is told, and tried again at the
 * next look.
 */
import type { Logger } from "pino";
import type { LauncherMetrics } from "../../api/agent-metrics.ts";
import { hasKernelBurst, hasQuotaBurst } from "../../api/cpu-burst.ts";
import type { AnnouncedCpu } from "../../api/uplink-protocol.ts";
import { errno } from "../errors.ts";
import {
  type Bandwidth,
  LEVELS,
  type Level,
  type PodBandwidth,
  type PodTarget,
  quotaOfLimit,
} from "./bandwidth.ts";
import { isGone, usageSeconds } from "./cgroup.ts";
import {
  type BaseQuotas,
  type BurstState,
  baseQuotas,
  type Decision,
  decide,
  withQuota,
} from "./decision.ts";
import type { CgroupLocation } from "./location.ts";
import { cpusOf, measure } from "./measurement.ts";
import { STRANGER_GRACE_MS } from "./ownership.ts";
import { planWrites } from "./plan.ts";
import type { RaisedRecord, RaisedRecords } from "./record.ts";
import { cgroupsOf, inheritedState, type PodCgroups, resetBandwidth } from "./reset.ts";

export interface LauncherCpuOptions {
  readonly podUid: string;
  readonly location: CgroupLocation;
  readonly records: RaisedRecords;
  /** What an agent before this one raised. */
  readonly recovered?: RaisedRecord;
  readonly log: Logger;
}

const NO_BURST = "the kernel has no CPU burst: Linux 5.14 and later have";
/** Time in which writes that belong together come together, in milliseconds. */
const HEARING_MS = 100;
/** The file system won't have it written, which says nothing about the kernel. */
const READ_ONLY: readonly (string | undefined)[] = ["EROFS", "EACCES", "EPERM"];

export class LauncherCpu {
  readonly podUid: string;
  readonly location: CgroupLocation;
  readonly #cgroups: PodCgroups;
  readonly #records: RaisedRecords;
  readonly #log: Logger;
  /** Counters of the agent's own doing. */
  readonly #doings = { adopted: 0, repaired: 0, resets: 0, failures: 0 };
  #announced: AnnouncedCpu | undefined;
  #state: BurstState;
  /** What the cgroups had when they were last looked at, and were given since. */
  #known: PodBandwidth | undefined;
  /** The bursts that were written last: by them another's are told. */
  #bursts: { [At in Level]?: number } = {};
  /** Undefined until a write has shown it. */
  #takesBurst: boolean | undefined;
  #cpus: ReadonlySet<number> | undefined;
  #problem: string | undefined;
  #isGone = false;
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  /** When to look because something was heard of. */
  #heardDueMs = Number.POSITIVE_INFINITY;

  constructor({ podUid, location, records, recovered, log }: LauncherCpuOptions) {
    this.podUid = podUid;
    this.location = location;
    this.#cgroups = cgroupsOf(location);
    this.#records = records;
    this.#state = recovered === undefined ? { ownership: {} } : inheritedState(recovered);
    this.#log = log.child({ podUid });
  }

  get announced(): AnnouncedCpu | undefined {
    return this.#announced;
  }

  /** Its container's cgroup is no longer there. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** There is something to keep in force. */
  get isManaged(): boolean {
    return this.#announced !== undefined && this.#announced.burst.policy !== "none";
  }

  /** Its quota is to be scaled; whether it may be at the moment, `quota` tells. */
  get isScaled(): boolean {
    return this.isManaged && !this.#isGone && hasQuotaBurst(this.#announced?.burst.policy ?? "none");
  }

  /** Undefined until the kernel has shown it. */
  get takesBurst(): boolean | undefined {
    return this.#takesBurst;
  }

  /** The CPUs that it may run on; undefined while nobody knows. */
  get cpus(): ReadonlySet<number> | undefined {
    return this.#cpus;
  }

  /** More is saved up than a resize to the announced limit could be written over: AnnouncementAnswer.pendingCpu. */
  get isPending(): boolean {
    const { base } = this;
    const known = this.#known;
    if (base === undefined || known === undefined || this.#isGone) return false;
    return LEVELS.some((level) => (known[level].burstMicros ?? 0) > base[level]);
  }

  /** Quotas of the announced limit; undefined before the first look. */
  get base(): BaseQuotas | undefined {
    if (this.#announced === undefined || this.#known === undefined) return undefined;
    return baseQuotas(this.#announced, this.#known);
  }

  /** The container's quota in microseconds where it may be scaled now: it is the limit's, or the agent's own. */
  get quota(): number | undefined {
    const { container } = this.#state.ownership;
    const mayScale =
      this.isScaled &&
      this.#announced?.isResizing !== true &&
      container?.stranger === undefined &&
      container?.lawful === this.base?.container;
    return mayScale ? (this.#state.scaledMicros ?? container?.lawful ?? undefined) : undefined;
  }

  /** Counters for scaling. @throws as the cgroup's files do */
  load(): { readonly usageSeconds: number; readonly periods: number; readonly throttledPeriods: number } {
    const { version, accounting } = this.location;
    return { ...this.#cgroups.container.stat(), usageSeconds: usageSeconds(version, accounting) };
  }

  /** The files that others may write, too. */
  get files(): readonly string[] {
    return LEVELS.flatMap((level) => this.#cgroups[level].files);
  }

  /** When its cgroups are to be looked at again, unless somebody is heard of before. */
  dueMs(intervalMs: number): number {
    if (!this.isManaged || this.#isGone) return Number.POSITIVE_INFINITY;
    const hasStranger = LEVELS.some((level) => this.#state.ownership[level]?.stranger !== undefined);
    const isUnsettled = hasStranger || this.#problem !== undefined;
    const dueMs = this.#checkedAtMs + (isUnsettled ? Math.min(intervalMs, STRANGER_GRACE_MS) : intervalMs);
    return Math.min(dueMs, this.#heardDueMs);
  }

  /** Somebody has written into its cgroups; whoever it is may not be done yet. */
  hear(nowMs: number): void {
    this.#heardDueMs = Math.min(this.#heardDueMs, nowMs + HEARING_MS);
  }

  announce(cpu: AnnouncedCpu | undefined, nowMs: number): void {
    if (cpu === undefined || cpu.burst.policy === "none") this.reset();
    this.#announced = cpu;
    if (cpu?.isResizing === true || !hasQuotaBurst(cpu?.burst.policy ?? "none")) this.#scale(undefined);
    this.check(nowMs);
  }

  /** Has the container run with that quota, which is at least its base. */
  scale(quotaMicros: number, nowMs: number): void {
    this.#scale(quotaMicros === this.base?.container ? undefined : quotaMicros);
    this.check(nowMs);
  }

  /** Looks at the cgroups, and writes what differs from what was announced. */
  check(nowMs: number): void {
    this.#checkedAtMs = nowMs;
    this.#heardDueMs = Number.POSITIVE_INFINITY;
    if (!this.isManaged || this.#isGone) return;
    this.#attempt(() => {
      this.#probe();
      const { announced } = this;
      if (announced === undefined) return;
      const actual = this.#read();
      const { state, target, ...found } = decide(this.#state, actual, announced, nowMs);
      this.#state = state;
      this.#tell(actual, found);
      this.#record(announced, target);
      this.#write(actual, target);
      this.#cpus = cpusOf(this.location);
      this.#problem = this.#missing();
    });
  }

  /** Puts back what was raised; what nobody raised is left alone. */
  reset(): void {
    const record = this.#records.get(this.podUid);
    if (record === undefined) return;
    this.#attempt(() => {
      resetBandwidth(record, this.#state);
      this.#records.remove(this.podUid);
      this.#state = { ownership: {} };
      this.#bursts = {};
      this.#known = undefined;
      this.#doings.resets += 1;
      this.#log.debug("CPU bandwidth is back at its base");
    });
  }

  /** Undefined where the cgroup can't be read: its container has ended. */
  metrics(tokens: number | undefined): LauncherMetrics | undefined {
    try {
      const { cpu, memory } = measure(this.location);
      const base = this.#announced && quotaOfLimit(this.#announced.baseMilliCpu, cpu.periodMicros);
      const isWithheld = this.#takesBurst === false;
      return {
        podUid: this.podUid,
        cpu: {
          ...cpu,
          ...(isWithheld && { burstMicros: null }),
          baseQuotaMicros: base ?? null,
          ...(tokens !== undefined && { tokens }),
          ...this.#doings,
          ...(this.#problem !== undefined && { problem: this.#problem }),
        },
        ...(memory !== undefined && { memory }),
      };
    } catch (error) {
      this.#log.debug({ err: error }, "the launcher's cgroup can't be read");
      return undefined;
    }
  }

  #scale(scaledMicros: number | undefined): void {
    const { scaledMicros: _, ...state } = this.#state;
    this.#state = scaledMicros === undefined ? state : { ...state, scaledMicros };
  }

  #read(): PodBandwidth {
    const [pod, container] = [this.#cgroups.pod.bandwidth(), this.#cgroups.container.bandwidth()];
    const without = this.#takesBurst === false ? { burstMicros: null } : {};
    this.#known = { pod: { ...pod, ...without }, container: { ...container, ...without } };
    return this.#known;
  }

  /** A file that is there may still refuse to be written: only a write shows that the kernel bursts. */
  #probe(): void {
    if (this.#takesBurst !== undefined) return;
    const { burstMicros } = this.#cgroups.container.bandwidth();
    try {
      if (burstMicros !== null) this.#cgroups.container.setBurst(burstMicros);
      this.#takesBurst = burstMicros !== null;
    } catch (error) {
      if (isGone(error) || READ_ONLY.includes(errno(error))) throw error;
      this.#log.warn({ err: error }, "the kernel has a file for CPU burst and takes none");
      this.#takesBurst = false;
    }
  }

  #tell(actual: PodBandwidth, { adopted, repaired }: Pick<Decision, "adopted" | "repaired">): void {
    this.#doings.adopted += adopted.length;
    this.#doings.repaired += repaired.length;
    for (const level of adopted) this.#log.info({ level, ...actual[level] }, "kept a quota of the kubelet's");
    for (const level of repaired)
      this.#log.warn({ level, ...actual[level] }, "takes back a stranger's quota");
  }

  /** Before anything is raised. */
  #record({ baseMilliCpu, podBaseMilliCpu = baseMilliCpu }: AnnouncedCpu, target: PodTarget): void {
    const hasScaledQuotas =
      this.#state.scaledMicros !== undefined ||
      LEVELS.some((level) => this.#state.ownership[level]?.scaled !== undefined);
    const isRaised = hasScaledQuotas || LEVELS.some((level) => target[level].burstMicros > 0);
    if (!isRaised) return;
    const { podUid, location } = this;
    this.#records.save({ podUid, location, baseMilliCpu, podBaseMilliCpu, hasScaledQuotas });
  }

  #write(actual: PodBandwidth, target: PodTarget): void {
    for (const { level, value, micros } of planWrites(actual, target)) {
      if (value === "quota") {
        this.#cgroups[level].setQuota(micros);
        this.#state = withQuota(this.#state, level, micros);
      } else {
        const burst = micros ?? 0;
        this.#cgroups[level].setBurst(burst);
        // It was there before: somebody has changed it.
        if (this.#bursts[level] === burst) this.#doings.repaired += 1;
        this.#bursts[level] = burst;
      }
      this.#know(level, value === "quota" ? { quotaMicros: micros } : { burstMicros: micros });
    }
  }

  #know(level: Level, changed: Partial<Bandwidth>): void {
    if (this.#known === undefined) return;
    this.#known = { ...this.#known, [level]: { ...this.#known[level], ...changed } };
  }

  #missing(): string | undefined {
    const wantsBurst = hasKernelBurst(this.#announced?.burst.policy ?? "none");
    return wantsBurst && this.#takesBurst === false ? NO_BURST : undefined;
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (isGone(error)) {
        this.#isGone = true;
        return;
      }
      this.#doings.failures += 1;
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem)
        this.#log.warn({ err: error }, "the launcher's CPU bandwidth can't be set");
      this.#problem = problem;
    }
  }
}
