/**
 * The CPU files of one cgroup, in both versions of cgroups: Documentation/scheduler/sched-bwc.rst (v1) and
 * Documentation/admin-guide/cgroup-v2.rst. They are read and written synchronously: the kernel makes them as they are
 * read, which takes microseconds and never waits for a device, and an agent that ends has no time for callbacks.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentError, errno } from "../errors.ts";
import type { Bandwidth } from "./bandwidth.ts";
import type { CgroupVersion } from "./location.ts";

/** Counters of a cgroup; they start with it. */
export interface CpuStat {
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledSeconds: number;
}

/** @throws AgentError CgroupUnreadable for what is no such file; Error with the system call's code */
export interface CpuCgroup {
  readonly path: string;
  /** Those of its files that are written here. */
  readonly files: readonly string[];
  bandwidth(): Bandwidth;
  stat(): CpuStat;
  setQuota(micros: number | null): void;
  setBurst(micros: number): void;
}

export function cpuCgroup(version: CgroupVersion, path: string): CpuCgroup {
  return version === 1 ? new CgroupV1(path) : new CgroupV2(path);
}

class CgroupV1 implements CpuCgroup {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get files(): readonly string[] {
    return [this.#path("cpu.cfs_quota_us"), this.#path("cpu.cfs_period_us"), this.#path("cpu.cfs_burst_us")];
  }

  bandwidth(): Bandwidth {
    const quota = integer(this.#path("cpu.cfs_quota_us"));
    return {
      quotaMicros: quota < 0 ? null : quota,
      periodMicros: integer(this.#path("cpu.cfs_period_us")),
      burstMicros: whereThere(() => integer(this.#path("cpu.cfs_burst_us"))),
    };
  }

  stat(): CpuStat {
    return parseStat(readFileSync(this.#path("cpu.stat"), "utf8"));
  }

  setQuota(micros: number | null): void {
    write(this.#path("cpu.cfs_quota_us"), micros ?? -1);
  }

  setBurst(micros: number): void {
    write(this.#path("cpu.cfs_burst_us"), micros);
  }

  #path(file: string): string {
    return join(this.path, file);
  }
}

class CgroupV2 implements CpuCgroup {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get files(): readonly string[] {
    return [join(this.path, "cpu.max"), join(this.path, "cpu.max.burst")];
  }

  bandwidth(): Bandwidth {
    const path = join(this.path, "cpu.max");
    const [, quota = "", period = ""] = /^(max|\d+) (\d+)\n?$/.exec(readFileSync(path, "utf8")) ?? [];
    if (period === "") throw unreadable(path);
    return {
      quotaMicros: quota === "max" ? null : Number(quota),
      periodMicros: Number(period),
      burstMicros: whereThere(() => integer(join(this.path, "cpu.max.burst"))),
    };
  }

  stat(): CpuStat {
    return parseStat(readFileSync(join(this.path, "cpu.stat"), "utf8"));
  }

  /** One number leaves the period as it is. */
  setQuota(micros: number | null): void {
    write(join(this.path, "cpu.max"), micros ?? "max");
  }

  setBurst(micros: number): void {
    write(join(this.path, "cpu.max.burst"), micros);
  }
}

/** Both versions' cpu.stat; what a kernel doesn't tell is 0. */
export function parseStat(text: string): CpuStat {
  const field = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  return {
    periods: field("nr_periods"),
    throttledPeriods: field("nr_throttled"),
    throttledSeconds: field("throttled_time") / 1e9 + field("throttled_usec") / 1e6,
  };
}

/** CPU seconds of a cgroup since its start. @throws as CpuCgroup does */
export function usageSeconds(version: CgroupVersion, path: string): number {
  if (version === 1) return integer(join(path, "cpuacct.usage")) / 1e9;
  const text = readFileSync(join(path, "cpu.stat"), "utf8");
  const micros = /^usage_usec (\d+)$/m.exec(text)?.[1];
  if (micros === undefined) throw unreadable(join(path, "cpu.stat"));
  return Number(micros) / 1e6;
}

/** Bytes. @throws as CpuCgroup does */
export function memoryUsageBytes(version: CgroupVersion, path: string): number {
  return integer(join(path, version === 1 ? "memory.usage_in_bytes" : "memory.current"));
}

/** The CPUs that a cgroup may use, as the kernel tells them. @throws as CpuCgroup does */
export function cpuList(version: CgroupVersion, path: string): string {
  return readFileSync(join(path, version === 1 ? "cpuset.effective_cpus" : "cpuset.cpus.effective"), "utf8");
}

/** The cgroup, or its file system, was taken away between two looks (cgroups(7): ENODEV of a file held open). */
export function isGone(error: unknown): boolean {
  const code = errno(error);
  return code === "ENOENT" || code === "ENODEV";
}

function whereThere(read: () => number): number | null {
  try {
    return read();
  } catch (error) {
    if (errno(error) === "ENOENT") return null;
    throw error;
  }
}

function integer(path: string): number {
  const text = readFileSync(path, "utf8");
  if (!/^-?\d+\n?$/.test(text)) throw unreadable(path);
  return Number(text);
}

/** Never creates a file: where the kernel has none, there is nothing to be set. */
function write(path: string, value: number | string): void {
  writeFileSync(path, String(value), { flag: "r+" });
}

function unreadable(path: string): AgentError {
  return new AgentError("CgroupUnreadable", `${path} holds something else than the kernel writes there`);
}
