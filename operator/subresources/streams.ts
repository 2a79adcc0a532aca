/** The byte streams of a VMI's console and VNC, from its launcher. */
import type { Duplex } from "node:stream";
import { RequestError } from "../../transport/errors.ts";
import type { Caches } from "../caches.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "../uplink/agents.ts";
import { launcherOf } from "./launcher.ts";
import type { SubresourcePath } from "./path.ts";
import { StatusError } from "./status.ts";

/** @throws StatusError with the reason a person can act on */
export async function openLauncherStream(
  caches: Caches,
  agents: Agents,
  path: SubresourcePath,
): Promise<Duplex> {
  const { namespace, name, subresource } = path;
  const { isRunning, isShuttingDown, nodeName, route } = launcherOf(caches, path);
  try {
    return await agents.streams(nodeName).open(`${route}/${subresource}`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    // A guest has its console to the end, so it is asked for; who can't have it should not look for a fault.
    if (isShuttingDown) {
      const message = `the VMI ${namespace}/${name} is shutting down, so its ${subresource} can't be reached: ${reason}`;
      throw new StatusError("Conflict", message, { cause });
    }
    const isPassing = cause instanceof OperatorError || cause instanceof RequestError || !isRunning;
    throw new StatusError(
      isPassing ? "ServiceUnavailable" : "InternalError",
      `the ${subresource} of ${namespace}/${name} can't be reached: ${reason}`,
      { cause },
    );
  }
}
