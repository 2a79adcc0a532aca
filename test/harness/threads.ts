/** Threads of a process and the CPUs that each may run on. */
import { readdirSync, readFileSync } from "node:fs";
import { parseCpuList } from "../../lib/cpu-list.ts";

export interface Thread {
  readonly name: string;
  /** That it may run on. */
  readonly cpus: readonly number[];
}

/** All but those that end meanwhile; none of a process that has ended. */
export function threadsOfProcess(pid: number | string): readonly Thread[] {
  return whileThere(() => readdirSync(`/proc/${pid}/task`)).flatMap((task) =>
    whileThere(() => [threadOf(readFileSync(`/proc/${pid}/task/${task}/status`, "utf8"))]),
  );
}

function whileThere<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch {
    return [];
  }
}

function threadOf(status: string): Thread {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
  return { name: field("Name"), cpus: [...(parseCpuList(field("Cpus_allowed_list")) ?? [])] };
}
