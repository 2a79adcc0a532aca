/** How many of its container's processes the kernel has ended for want of memory, as the container's cgroup counts them. */
import { readFileSync } from "node:fs";

/** As a container sees its own cgroup: version 2, version 1. */
const FILES: readonly string[] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/** 0 where nobody counts. */
export function readOomKills(files = FILES): number {
  for (const file of files) {
    try {
      return parseOomKills(readFileSync(file, "utf8"));
    } catch {
      // Of the other version, or not mounted.
    }
  }
  return 0;
}

/** The line `oom_kill` of either file (kernel's Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst); pure. */
export function parseOomKills(text: string): number {
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}
