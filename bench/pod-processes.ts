/** The processes of a pod, found on the node by their cgroup. Needs root on the node, and its PID namespace or one above. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { type Mapping, parseSmaps } from "./smaps.ts";

export interface PodProcess {
  readonly pid: number;
  /** Name of the program: `node`, `qemu-system-x86_64`, `pause`. */
  readonly program: string;
}

/** Whether a line of /proc/<pid>/cgroup lies in the pod's cgroup, under either of the kubelet's drivers. */
export function isInPod(cgroup: string, podUid: string): boolean {
  return cgroup.includes(`pod${podUid}/`) || cgroup.includes(`pod${podUid.replaceAll("-", "_")}.slice/`);
}

/** The processes that run now; the pod's sandbox (`pause`) is one of them. */
export function podProcesses(podUid: string): PodProcess[] {
  const found: PodProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const cgroup = read(`/proc/${name}/cgroup`);
    if (cgroup === undefined || !isInPod(cgroup, podUid)) continue;
    const program = programOf(name);
    if (program !== undefined) found.push({ pid: Number(name), program });
  }
  return found;
}

/** Mappings of a process. @throws Error when it has ended, or without root */
export function mappingsOf({ pid }: PodProcess): Mapping[] {
  return parseSmaps(readFileSync(`/proc/${pid}/smaps`, "utf8"));
}

/** Resident KiB of a process (VmRSS), shared pages counted whole. */
export function residentKiB({ pid }: PodProcess): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0);
}

/** Bytes that a process and its children that have ended wrote to file systems on disks, or to disks themselves. */
export function bytesWritten({ pid }: PodProcess): number {
  const match = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"));
  return Number(match?.[1] ?? Number.NaN);
}

/** Without a program: a zombie, or one that ended between two reads. */
function programOf(pid: string): string | undefined {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ""));
  } catch {
    return undefined;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
