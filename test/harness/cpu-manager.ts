/** The CPUs of the development cluster's containers, and the policy by which its kubelet gives them. */
import { readdirSync, readFileSync } from "node:fs";
import { DEVICE_LAUNCHER } from "../../api/names.ts";
import { NODES, type Pod } from "../../kube/resources.ts";
import { parseCpuList } from "../../lib/cpu-list.ts";
import { connectCluster, until } from "./cluster.ts";
import { capture } from "./command.ts";
import { processesOf } from "./node.ts";

const RESTART_MS = 60_000;

/** Restarts the kubelet under the policy. Resolves when the node takes launchers again, and has told of its CPUs since. */
export async function manageCpus(policy: "none" | "static", node: string): Promise<void> {
  capture("./cluster/kubelet-restart", [policy]);
  const client = await connectCluster();
  try {
    await until(client, NODES, {
      name: node,
      what: `a kubelet of the CPU manager policy ${policy} that knows of launchers`,
      timeoutMs: RESTART_MS,
      when: (seen) => {
        const { allocatable, capacity } = seen?.status ?? {};
        // Under the static policy a part of a CPU is kept, and the devices are none until the agent has told of them.
        const isAllThere = allocatable?.["cpu"] === capacity?.["cpu"];
        return (
          isAllThere === (policy === "none") && Number.parseInt(allocatable?.[DEVICE_LAUNCHER] ?? "0", 10) > 0
        );
      },
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

function tasks(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((task) =>
      readFileSync(`/proc/${pid}/task/${task}/status`, "utf8"),
    );
  } catch {
    // It ended in between.
    return [];
  }
}

function threadOf(program: string, status: string): PodThread {
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
  return { program, name: field("Name"), cpus: [...(parseCpuList(field("Cpus_allowed_list")) ?? [])] };
}
