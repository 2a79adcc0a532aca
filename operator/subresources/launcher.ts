/** From a VMI to its launcher: which node, which pod, and the agent that can reach it. */
import { LAUNCHER_CONTAINER } from "../../api/names.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import type { Http2Client } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Caches } from "../caches.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "../uplink/agents.ts";
import { type PlacedMachine, placedMachine, requireUnpaused } from "./machine.ts";
import type { SubresourcePath } from "./path.ts";
import { StatusError, type StatusReason } from "./status.ts";

export interface ReachableLauncher extends PlacedMachine {
  /** Of requests to the launcher, on its agent's connection: `/v1/launchers/<pod UID>`. */
  readonly route: string;
  /** The kubelet has told that the container runs. */
  readonly isRunning: boolean;
}

/** @throws StatusError NotFound; Conflict or BadRequest while the VMI has no launcher */
export function launcherOf(caches: Caches, path: SubresourcePath): ReachableLauncher {
  const machine = placedMachine(caches, path);
  const { metadata, status } = machine.pod;
  const isRunning = status?.containerStatuses?.some(
    ({ name, state }) => name === LAUNCHER_CONTAINER && state?.running !== undefined,
  );
  return {
    ...machine,
    route: `${UPLINK_ROUTES.launchers}/${metadata.uid}`,
    isRunning: isRunning === true,
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

export interface AskOptions {
  /** The guest itself must answer, so a paused one is refused. */
  readonly needsGuest?: boolean;
}

/**
 * Asks the VMI's launcher; its refusal is the caller's answer, with its own sentence.
 * @throws StatusError
 */
export async function askLauncher<T>(
  caches: Caches,
  agents: Agents,
  path: SubresourcePath,
  ask: (client: Http2Client, route: string) => Promise<T>,
  { needsGuest = false }: AskOptions = {},
): Promise<T> {
  const launcher = launcherOf(caches, path);
  if (needsGuest) requireUnpaused(launcher);
  const { nodeName, route, isShuttingDown } = launcher;
  try {
    return await ask(await agents.discoveredStreams(nodeName), route);
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
