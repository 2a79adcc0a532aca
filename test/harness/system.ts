/** virtpod's own pods: the operator's replicas and the agents. */
import type { Client } from "../../kube/client.ts";
import { PODS, type Pod } from "../../kube/resources.ts";

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
