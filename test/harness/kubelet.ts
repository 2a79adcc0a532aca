/** The kubelet of the development cluster's node, started anew. */
import { DEVICE_LAUNCHER } from "../../api/names.ts";
import type { Client } from "../../kube/client.ts";
import { NODES, type Node } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { until } from "./cluster.ts";
import { capture } from "./command.ts";

const RESTART_MS = 60_000;

export interface RestartOptions {
  /** Its name. */
  readonly node: string;
  /** Of cluster/kubelet-restart. */
  readonly args?: readonly string[];
  /** What the node tells once the kubelet has looked at it anew. */
  readonly what: string;
  readonly when: (status: NonNullable<Node["status"]>) => boolean;
}

/** Resolves when the node takes launchers again: the devices are none until the agent has told of them. */
export async function restartKubelet(
  client: Client,
  { node, args = [], what, when }: RestartOptions,
): Promise<void> {
  // Whole seconds, as the node tells them.
  const since = Math.floor(Date.now() / 1000) * 1000;
  capture("./cluster/kubelet-restart", args);
  await until(client, NODES, {
    name: node,
    what: `${what}, by a kubelet that is ready and knows of launchers`,
    timeoutMs: RESTART_MS,
    when: (seen) => {
      const { status = {} } = seen ?? {};
      const ready = status.conditions?.find(({ type }) => type === "Ready");
      // What it writes when it registers its node leaves conditions and devices as its predecessor told them.
      const isToldAnew = Date.parse(ready?.lastHeartbeatTime ?? "") >= since && ready?.status === "True";
      return isToldAnew && when(status) && parseQuantity(status.allocatable?.[DEVICE_LAUNCHER] ?? 0) > 0;
    },
  });
}
