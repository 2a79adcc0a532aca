/** The CPUs of the development cluster's containers, and the policy by which its kubelet gives them. */
import { readdirSync, readFileSync } from "node:fs";
import type { Pod } from "../../kube/resources.ts";
import { parseCpuList } from "../../lib/cpu-list.ts";
import { connectCluster } from "./cluster.ts";
import { restartKubelet } from "./kubelet.ts";
import { processesOf } from "./node.ts";

/** Restarts the kubelet under the policy. Resolves when the node takes launchers again, and has told of its CPUs since. */
export async function manageCpus(policy: "none" | "static", node: string): Promise<void> {
  const client = await connectCluster();
  try {
    await restartKubelet(client, {
      node,
      args: [policy],
      what: `a look at the CPUs by the policy ${policy}`,
      // Under the static policy a part of a CPU is kept.
      when: ({ allocatable, capacity }) =>
        (allocatable?.["cpu"] === capacity?.["cpu"]) === (policy === "none"),
    });
  } finally {
    await client.close();
  }
}

export interface PodThread {
  readonly program: string;
  readonly name: string;
  /** That it may run on. */
  readonly cpus: readonly number[];
}

/** Programs that only wait for others. */
const IDLE = ["pause", "tini"];

/** All threads of the pod's programs. */
export function threadsOf({ metadata }: Pod): readonly PodThread[] {
  return processesOf(metadata.uid)
    .filter(({ program }) => !IDLE.includes(program))
    .flatMap(({ pid, program }) => tasks(pid).map((status) => threadOf(program, status)));
}

/** The status of each thread, but for those that end meanwhile. */
function tasks(pid: number): readonly string[] {
  return whileThere(() => readdirSync(`/proc/${pid}/task`)).flatMap((task) =>
    whileThere(() => [readFileSync(`/proc/${pid}/task/${task}/status`, "utf8")]),
  );
}

function whileThere<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch {
    return [];
  }
}

function threadOf(program: string, status: string): PodThread {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
  return { program, name: field("Name"), cpus: [...(parseCpuList(field("Cpus_allowed_list")) ?? [])] };
}
