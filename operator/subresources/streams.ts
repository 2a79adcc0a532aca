/** From a VMI's console or VNC to its launcher: which node, which pod, and the agent that can reach it. */
import type { Duplex } from "node:stream";
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import { RequestError } from "../../transport/errors.ts";
import { BY_VMI, type Caches } from "../caches.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "../uplink/agents.ts";
import type { SubresourcePath } from "./path.ts";
import { StatusError } from "./status.ts";

/** @throws StatusError with the reason a person can act on */
export async function openLauncherStream(
  caches: Caches,
  agents: Agents,
  path: SubresourcePath,
): Promise<Duplex> {
  const { namespace, name, subresource } = path;
  const vmi = caches.vmis.get(`${namespace}/${name}`);
  if (vmi === undefined) {
    throw new StatusError("NotFound", `virtualmachineinstances.kubevirt.io "${name}" not found`);
  }
  const uid = vmi.metadata.uid;
  const pod = caches.pods
    .byIndex(BY_VMI, `${namespace}/${name}`)
    .find(({ metadata }) => metadata.ownerReferences?.some((reference) => reference.uid === uid));
  const isRunning = pod?.status?.containerStatuses?.some(
    ({ name: container, state }) => container === LAUNCHER_CONTAINER && state?.running !== undefined,
  );
  const nodeName = pod?.spec.nodeName;
  // The kubelet tells late that a container runs; the agent, asked directly, knows better. Only its end is certain.
  const isOver = pod?.status?.phase === "Succeeded" || pod?.status?.phase === "Failed";
  if (pod === undefined || nodeName === undefined || isOver) {
    throw new StatusError(
      "Conflict",
      `the VMI ${namespace}/${name} is not running (phase ${vmi.status?.phase ?? "Pending"})`,
    );
  }
  try {
    const client = agents.streams(nodeName);
    return await client.open(`${UPLINK_ROUTES.launchers}/${pod.metadata.uid}/${subresource}`);
  } catch (cause) {
    const isPassing = cause instanceof OperatorError || cause instanceof RequestError || isRunning !== true;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StatusError(
      isPassing ? "ServiceUnavailable" : "InternalError",
      `the ${subresource} of ${namespace}/${name} can't be reached: ${reason}`,
      { cause },
    );
  }
}
