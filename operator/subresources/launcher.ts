/** From a VMI to its launcher: which node, which pod, and the agent that can reach it. */
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import type { Http2Client } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import { BY_VMI, type Caches } from "../caches.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "../uplink/agents.ts";
import type { SubresourcePath } from "./path.ts";
import { StatusError, type StatusReason } from "./status.ts";

export interface ReachableLauncher {
  readonly nodeName: string;
  /** Of requests to the launcher, on its agent's connection: `/v1/launchers/<pod UID>`. */
  readonly route: string;
  /** The kubelet has told that the container runs. */
  readonly isRunning: boolean;
  /** The VMI is on its way down: what reaches its launcher now may not a moment later. */
  readonly isShuttingDown: boolean;
}

/** @throws StatusError NotFound; Conflict while the VMI has no launcher */
export function launcherOf(caches: Caches, { namespace, name }: SubresourcePath): ReachableLauncher {
  const vmi = caches.vmis.get(`${namespace}/${name}`);
  if (vmi === undefined) {
    throw new StatusError("NotFound", `virtualmachineinstances.kubevirt.io "${name}" not found`);
  }
  const { uid, deletionTimestamp } = vmi.metadata;
  const pod = caches.pods
    .byIndex(BY_VMI, `${namespace}/${name}`)
    .find(({ metadata }) => metadata.ownerReferences?.some((reference) => reference.uid === uid));
  const nodeName = pod?.spec.nodeName;
  // The kubelet tells late that a container runs; the agent, asked directly, knows better. Only its end is certain.
  const isOver = pod?.status?.phase === "Succeeded" || pod?.status?.phase === "Failed";
  if (pod === undefined || nodeName === undefined || isOver) {
    const phase = vmi.status?.phase ?? "Pending";
    const state = deletionTimestamp === undefined ? `not running (phase ${phase})` : "shutting down";
    throw new StatusError("Conflict", `the VMI ${namespace}/${name} is ${state}`);
  }
  const isRunning = pod.status?.containerStatuses?.some(
    ({ name: container, state }) => container === LAUNCHER_CONTAINER && state?.running !== undefined,
  );
  return {
    nodeName,
    route: `${UPLINK_ROUTES.launchers}/${pod.metadata.uid}`,
    isRunning: isRunning === true,
    isShuttingDown: [vmi, pod].some(({ metadata }) => metadata.deletionTimestamp !== undefined),
  };
}

/** Where an agent serves a launcher's own `path`: `/v1/freeze` is `/freeze` below the launcher's `route`. */
export function launcherPath(route: string, path: string): string {
  return `${route}${path.slice("/v1".length)}`;
}

const REASONS: Readonly<Record<number, StatusReason>> = {
  400: "BadRequest",
  404: "NotFound",
  409: "Conflict",
  500: "InternalError",
};

/**
 * Asks the VMI's launcher; its refusal is the caller's answer, with its own sentence.
 * @throws StatusError
 */
export async function askLauncher<T>(
  caches: Caches,
  agents: Agents,
  path: SubresourcePath,
  ask: (client: Http2Client, route: string) => Promise<T>,
): Promise<T> {
  const { nodeName, route, isShuttingDown } = launcherOf(caches, path);
  try {
    return await ask(agents.streams(nodeName), route);
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const reason = cause instanceof RequestError ? REASONS[cause.status] : undefined;
    const isKnown = cause instanceof RequestError || cause instanceof OperatorError;
    const state = isShuttingDown ? "it is shutting down: " : "";
    const what = isKnown ? "" : "its launcher can't be reached: ";
    throw new StatusError(
      reason ?? (isShuttingDown ? "Conflict" : "ServiceUnavailable"),
      `${path.subresource} of the VMI ${path.namespace}/${path.name}: ${state}${what}${cause.message}`,
      { cause },
    );
  }
}
