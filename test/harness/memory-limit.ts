/** The memory limit of a launcher's container, as its cgroup on this machine takes it; root. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { locate } from "../../agent/cpu-burst/location.ts";
import type { Pod } from "../../kube/resources.ts";
import { processesOf } from "./node.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";

/** The limit's file, and what memory.stat calls memory that can't be taken back. */
const FILES = {
  1: { limit: "memory.limit_in_bytes", unreclaimable: "total_rss" },
  2: { limit: "memory.max", unreclaimable: "anon" },
} as const;

/**
 * Limits the container to what its processes hold now and so many bytes more. The kernel takes back what it can, and
 * ends a process where that isn't enough.
 * @throws Error where the pod has no process, or its memory's cgroup isn't mounted
 */
export function limitMemory({ metadata }: Pod, spareBytes: number): void {
  const qemu = processesOf(metadata.uid).find(({ program }) => program.startsWith("qemu-system"));
  if (qemu === undefined) throw new Error(`pod ${metadata.name} has no qemu`);
  const location = locate(CGROUP_ROOT, readFileSync(`/proc/${qemu.pid}/cgroup`, "utf8"), existsSync);
  const folder = location?.memory;
  if (location === undefined || folder === undefined)
    throw new Error(`the memory cgroup of pod ${metadata.name} isn't mounted`);
  const { limit, unreclaimable } = FILES[location.version];
  const stat = readFileSync(join(folder, "memory.stat"), "utf8");
  const held = new RegExp(`^${unreclaimable} (\\d+)$`, "m").exec(stat)?.[1];
  if (held === undefined) throw new Error(`${folder}/memory.stat has no ${unreclaimable}`);
  writeFileSync(join(folder, limit), String(Number(held) + spareBytes));
}

/** Has the kernel end this process of the pod's first, as it would the largest else (proc_pid_oom_score_adj(5)). */
export function nameVictim({ metadata }: Pod, program: RegExp): void {
  const victim = processesOf(metadata.uid).find((one) => program.test(one.program));
  if (victim === undefined) throw new Error(`pod ${metadata.name} runs no ${program} on this machine`);
  writeFileSync(`/proc/${victim.pid}/oom_score_adj`, "1000");
}
