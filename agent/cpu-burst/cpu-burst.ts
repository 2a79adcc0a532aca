/**
 * CPU burst of a node's launchers. Where quotas are scaled it looks every second; else at what happens: a launcher comes,
 * the operator announces, somebody writes into a cgroup.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import type { AgentMetrics, LauncherMetrics, NodeMetrics } from "../../api/agent-metrics.ts";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import type { AgentSettings, AnnouncedLauncher } from "../../api/uplink-protocol.ts";
import { type Clock, systemClock, type Timer } from "../../lib/clock.ts";
import { LauncherCpu } from "./launcher-cpu.ts";
import { type CgroupVersion, locate } from "./location.ts";
import { NodeLoad, nodeState } from "./node-load.ts";
import { type RaisedRecord, RaisedRecords } from "./record.ts";
import { resetBandwidth } from "./reset.ts";
import { Scaler } from "./scaler.ts";
import { watchFiles } from "./watch.ts";

/** Koordinator's interval, which its steps of a fifth are made for. */
const SCALING_INTERVAL_MS = 1_000;
/** For what nobody tells: a cgroup that has gone, an event that was lost. */
const WATCHED_INTERVAL_MS = 60_000;
/** Where the kernel has no watches left to give. */
const UNWATCHED_INTERVAL_MS = 10_000;
/** Between attempts to reset what the file system won't have written. */
const RETRY_MS = 10_000;

export interface CpuBurstOptions {
  /** Where the node's /sys/fs/cgroup is mounted. */
  readonly cgroupRoot: string;
  /** Keeps what is raised while the agent is away. */
  readonly stateDirectory: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  /** Content of /proc/stat. */
  readonly readStat?: () => string;
  /** watchFiles unless told. */
  readonly watch?: typeof watchFiles;
}

/** AgentMetrics as far as they are of CPU. */
export interface BurstMetrics extends Omit<AgentMetrics, "node"> {
  readonly node: Omit<NodeMetrics, "refusals">;
}

interface Managed {
  readonly launcher: LauncherCpu;
  readonly scaler: Scaler;
  /** Ends the watch of its cgroups; undefined where there is none. */
  readonly unwatch: (() => void) | undefined;
}

export class CpuBurst {
  readonly #options: CpuBurstOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #readStat: () => string;
  readonly #records: RaisedRecords;
  readonly #log: Logger;
  readonly #load = new NodeLoad();
  readonly #managed = new Map<string, Managed>();
  #announced: ReadonlyMap<string, AnnouncedLauncher> = new Map();
  #settings: AgentSettings | undefined;
  /** Kept when the launcher that has shown it is gone. */
  #takesBurst: boolean | undefined;
  #timer: Timer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  /** The next second of those whose quotas are scaled. */
  #scalingDueMs = Number.POSITIVE_INFINITY;
  #leftoversDueMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(options: CpuBurstOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#readStat = options.readStat ?? (() => readFileSync("/proc/stat", "utf8"));
    this.#records = new RaisedRecords(options.stateDirectory);
    this.#log = options.log;
  }

  /** Takes over what an agent before this one has raised: goes on with what is announced, and resets the rest. */
  start(launchers: readonly AnnouncedLauncher[], settings: AgentSettings | undefined): void {
    this.#remember(launchers, settings);
    for (const record of this.#records.load(this.#log)) {
      if (this.#announced.get(record.podUid)?.cpu === undefined) continue;
      this.#manage(new LauncherCpu({ ...this.#common(record), recovered: record }));
    }
    this.#giveBack();
    this.#schedule();
  }

  /**
   * A launcher's container is there.
   * @param cgroup content of its /proc/<pid>/cgroup
   */
  attach(podUid: string, cgroup: string): void {
    const location = locate(this.#options.cgroupRoot, cgroup, existsSync);
    if (location === undefined) {
      this.#log.warn(
        { podUid, cgroup },
        "the launcher's CPU cgroup is not where the node's cgroups are mounted",
      );
      return;
    }
    const before = this.#managed.get(podUid)?.launcher;
    if (before?.location.container === location.container) {
      before.check(this.#clock.monotonic());
    } else {
      // The pod's cgroup stays, and with it what was raised there for the container before.
      before?.reset();
      this.#forget(podUid);
      this.#manage(new LauncherCpu(this.#common({ podUid, location })));
    }
    this.#schedule();
  }

  /**
   * The whole set, as the operator announces it. When this returns, every limit that sank has been made room for.
   * @returns UIDs of pods where that failed
   */
  announce(launchers: readonly AnnouncedLauncher[], settings: AgentSettings | undefined): readonly string[] {
    this.#remember(launchers, settings ?? this.#settings);
    const nowMs = this.#clock.monotonic();
    for (const [podUid, { launcher }] of this.#managed) {
      const announced = this.#announced.get(podUid);
      launcher.announce(announced?.cpu, nowMs);
      if (announced === undefined) this.#forget(podUid);
    }
    this.#dropGone();
    this.#giveBack();
    this.#schedule();
    return [...this.#managed].flatMap(([podUid, { launcher }]) => (launcher.isPending ? [podUid] : []));
  }

  metrics(): BurstMetrics {
    const use = this.#load.use();
    const launchers = [...this.#managed.values()].flatMap(({ launcher, scaler }): LauncherMetrics[] => {
      const metrics = launcher.metrics(scaler.tokens);
      return metrics === undefined ? [] : [metrics];
    });
    return {
      node: {
        ...(this.#settings !== undefined && { settingsVersion: this.#settings.version }),
        cgroupVersion: this.#version,
        kernelBurst: this.#kernelBurst(),
        state: nodeState(use, this.#threshold),
        ...(use !== undefined && { sharePoolUse: use }),
      },
      launchers,
    };
  }

  /** Puts everything back. Nothing is raised any more afterwards. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const [podUid, { launcher }] of this.#managed) {
      launcher.reset();
      this.#forget(podUid);
    }
  }

  get #version(): CgroupVersion {
    return existsSync(join(this.#options.cgroupRoot, "cgroup.controllers")) ? 2 : 1;
  }

  get #threshold(): number {
    return this.#settings?.sharePoolThresholdPercent ?? DEFAULT_BURST_STRATEGY.sharePoolThresholdPercent;
  }

  get #isScaling(): boolean {
    return [...this.#managed.values()].some(({ launcher }) => launcher.isScaled);
  }

  #common<T extends object>(of: T) {
    return { ...of, records: this.#records, log: this.#log };
  }

  #remember(launchers: readonly AnnouncedLauncher[], settings: AgentSettings | undefined): void {
    this.#announced = new Map(launchers.map((launcher) => [launcher.podUid, launcher]));
    this.#settings = settings;
  }

  #manage(launcher: LauncherCpu): void {
    if (this.#isStopped) return;
    const { podUid } = launcher;
    const unwatch = (this.#options.watch ?? watchFiles)(launcher.files, () => this.#hear(launcher));
    this.#managed.set(podUid, { launcher, scaler: new Scaler(launcher, this.#random), unwatch });
    launcher.announce(this.#announced.get(podUid)?.cpu, this.#clock.monotonic());
    this.#dropGone();
  }

  #kernelBurst(): NodeMetrics["kernelBurst"] {
    for (const { launcher } of this.#managed.values()) this.#takesBurst ??= launcher.takesBurst;
    if (this.#takesBurst === undefined) return "unknown";
    return this.#takesBurst ? "supported" : "unsupported";
  }

  /** What is raised and no longer to be, or was not to be lowered when it should have been. */
  #leftovers(): readonly RaisedRecord[] {
    return this.#records.all().filter(({ podUid }) => this.#managed.get(podUid)?.launcher.isManaged !== true);
  }

  #giveBack(): void {
    for (const record of this.#leftovers()) {
      try {
        resetBandwidth(record);
        this.#records.remove(record.podUid);
        this.#log.info({ podUid: record.podUid }, "reset the CPU bandwidth that had been raised");
      } catch (error) {
        this.#log.error({ err: error, podUid: record.podUid }, "a launcher's CPU bandwidth can't be reset");
      }
    }
    this.#leftoversDueMs =
      this.#leftovers().length === 0 ? Number.POSITIVE_INFINITY : this.#clock.monotonic() + RETRY_MS;
  }

  #dropGone(): void {
    for (const [podUid, { launcher }] of this.#managed) {
      if (!launcher.isGone) continue;
      launcher.reset();
      this.#forget(podUid);
    }
  }

  #forget(podUid: string): void {
    this.#managed.get(podUid)?.unwatch?.();
    this.#managed.delete(podUid);
  }

  #hear(launcher: LauncherCpu): void {
    launcher.hear(this.#clock.monotonic());
    this.#schedule();
  }

  /** Whatever is due stays due: what happens in between must not put it off. */
  #schedule(): void {
    const nowMs = this.#clock.monotonic();
    if (this.#isScaling) {
      this.#scalingDueMs = Math.min(this.#scalingDueMs, nowMs + SCALING_INTERVAL_MS);
    } else {
      this.#scalingDueMs = Number.POSITIVE_INFINITY;
      this.#load.clear();
    }
    const dueMs = this.#isStopped
      ? Number.POSITIVE_INFINITY
      : Math.min(this.#scalingDueMs, this.#leftoversDueMs, ...[...this.#managed.values()].map(dueMsOf));
    if (dueMs === this.#timerDueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.setTimeout(() => this.#look(), Math.max(0, dueMs - nowMs));
  }

  #look(): void {
    this.#timerDueMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonic();
    const isSecond = nowMs >= this.#scalingDueMs;
    if (isSecond) {
      this.#scalingDueMs = Number.POSITIVE_INFINITY;
      this.#measure(nowMs);
    }
    for (const managed of this.#managed.values()) {
      const { launcher, scaler } = managed;
      if (nowMs >= dueMsOf(managed)) launcher.check(nowMs);
      if (isSecond && launcher.isScaled) this.#step(launcher, scaler, nowMs);
    }
    this.#dropGone();
    if (nowMs >= this.#leftoversDueMs) this.#giveBack();
    this.#schedule();
  }

  #measure(nowMs: number): void {
    try {
      this.#load.add(this.#readStat(), nowMs);
    } catch (error) {
      // Then the node's state is unknown, and nothing is raised further.
      this.#load.clear();
      this.#log.error({ err: error }, "the node's load can't be read");
    }
  }

  #step(launcher: LauncherCpu, scaler: Scaler, nowMs: number): void {
    try {
      scaler.step(nodeState(this.#load.use(launcher.cpus), this.#threshold), nowMs);
    } catch {
      // What is wrong with the cgroup the check tells.
      launcher.check(nowMs);
    }
  }
}

function dueMsOf({ launcher, unwatch }: Managed): number {
  return launcher.dueMs(unwatch === undefined ? UNWATCHED_INTERVAL_MS : WATCHED_INTERVAL_MS);
}
