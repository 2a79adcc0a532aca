/** The launcher's CPUs, as the kernel tells of them; and the launcher's own place on them. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parseCpuList } from "../../lib/cpu-list.ts";
import type { HostCpus } from "./pinning.ts";

const SYSTEM = "/sys/devices/system/cpu";
const TASKSET = "/usr/bin/taskset";
const TASKSET_TIMEOUT_MS = 5_000;

export function readHostCpus(): HostCpus {
  const status = readFileSync("/proc/self/status", "utf8");
  const allowed = parseCpuList(/^Cpus_allowed_list:(.*)$/m.exec(status)?.[1] ?? "") ?? new Set();
  return {
    allowed,
    online: parseCpuList(readFileSync(`${SYSTEM}/online`, "utf8")) ?? new Set(),
    siblings: new Map([...allowed].map((cpu) => [cpu, siblingsOf(cpu)])),
  };
}

/** Moves all threads of this process; its children inherit it. */
export function runOn(cpus: readonly number[]): void {
  const options = { stdio: "pipe", timeout: TASKSET_TIMEOUT_MS } as const;
  execFileSync(TASKSET, ["--all-tasks", "--cpu-list", "--pid", cpus.join(","), String(process.pid)], options);
}

/** Machines that tell of no topology have a core per CPU. */
function siblingsOf(cpu: number): ReadonlySet<number> {
  try {
    const text = readFileSync(`${SYSTEM}/cpu${cpu}/topology/thread_siblings_list`, "utf8");
    return parseCpuList(text) ?? new Set([cpu]);
  } catch {
    return new Set([cpu]);
  }
}
