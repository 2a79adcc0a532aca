/** The CPUs of the development cluster's containers, and the policy by which its kubelet gives them. */
import type { Pod } from "../../kube/resources.ts";
import { connectCluster } from "./cluster.ts";
import { restartKubelet } from "./kubelet.ts";
import { processesOf } from "./node.ts";
import { type Thread, threadsOfProcess } from "./threads.ts";

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

export interface PodThread extends Thread {
  readonly program: string;
}

/** Programs that only wait for others. */
const IDLE = ["pause", "tini"];

/** All threads of the pod's programs. */
export function threadsOf({ metadata }: Pod): readonly PodThread[] {
  return processesOf(metadata.uid)
    .filter(({ program }) => !IDLE.includes(program))
    .flatMap(({ pid, program }) => threadsOfProcess(pid).map((thread) => ({ program, ...thread })));
}
