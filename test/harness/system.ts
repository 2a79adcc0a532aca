/** virtpod's own pods: the operator's replicas and the agents. */
import { OWN_SUBRESOURCES_GROUP, SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { PODS, type Pod } from "../../kube/resources.ts";
import { until } from "./cluster.ts";
import { eventually } from "./eventually.ts";
import { killProgram } from "./node.ts";

export const SYSTEM = "virtpod";

export type SystemProgram = "virtpod-operator" | "virtpod-agent";

/** Those of one program that nobody has deleted. */
export async function systemPods(client: Client, program: SystemProgram): Promise<Pod[]> {
  const { items } = await client
    .resource(PODS)
    .namespace(SYSTEM)
    .list({ labelSelector: `app.kubernetes.io/name=${program}` });
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** The kubelet starts a container anew at once the first time, and 10, 20 and 40 s later after that. */
const RESTARTED_MS = 120_000;

const restarts = (pod: Pod | undefined) => pod?.status?.containerStatuses?.[0]?.restartCount ?? 0;

/**
 * Kills a program in each of its pods; the function it returns waits until all run again.
 * @throws Error when it has none
 */
export async function killSystem(client: Client, program: SystemProgram): Promise<() => Promise<void>> {
  const pods = await systemPods(client, program);
  if (pods.length === 0) throw new Error(`there is no ${program}`);
  killProgram(pods, /^node$/);
  return async () => {
    for (const pod of pods) {
      await until(client, PODS, {
        namespace: SYSTEM,
        name: pod.metadata.name,
        what: `${program} running again`,
        timeoutMs: RESTARTED_MS,
        // What the kubelet has not heard of yet, it tells as it was.
        when: (seen) =>
          restarts(seen) > restarts(pod) &&
          seen?.status?.containerStatuses?.[0]?.state?.running !== undefined,
      });
    }
  };
}

/**
 * Resolves when the API server serves what the operators serve. Once it has found nobody, it looks again when it hears of
 * an endpoint, and if the node doesn't know the way there yet, up to half a minute later.
 */
export async function untilServed(client: Client): Promise<void> {
  for (const group of [SUBRESOURCES_GROUP, OWN_SUBRESOURCES_GROUP]) {
    const discovery = { method: "GET", path: `/apis/${group}/v1`, action: `discover ${group}` } as const;
    await eventually(() => client.request(discovery), RESTARTED_MS);
  }
}

/**
 * The first pod of a program, there already or still to come, that is none of those known: ready.
 * @param known UIDs
 * @throws Error when none comes
 */
export async function untilSuccessor(
  client: Client,
  program: SystemProgram,
  known: ReadonlySet<string>,
): Promise<Pod> {
  const pods = client.resource(PODS).namespace(SYSTEM);
  const labelSelector = `app.kubernetes.io/name=${program}`;
  const isSuccessor = ({ metadata, status }: Pod) =>
    !known.has(metadata.uid) &&
    metadata.deletionTimestamp === undefined &&
    status?.containerStatuses?.every(({ ready }) => ready) === true;
  const { items, resourceVersion } = await pods.list({ labelSelector });
  const found = items.find(isSuccessor);
  if (found !== undefined) return found;
  const signal = AbortSignal.timeout(RESTARTED_MS);
  for await (const event of pods.watch({ labelSelector, resourceVersion, signal })) {
    if (event.type !== "BOOKMARK" && event.type !== "DELETED" && isSuccessor(event.object))
      return event.object;
  }
  throw new Error(`no new pod of ${program} was ready in ${RESTARTED_MS} ms`);
}
