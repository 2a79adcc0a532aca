/** The websockets that are served: a VMI's console and VNC, from its launcher, and ports of its guest. */
import type { ClientHttp2Stream } from "node:http2";
import { VNC_PRESERVE_SESSION } from "../../api/launcher-protocol.ts";
import { endReason } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Caches } from "../caches.ts";
import { OperatorError } from "../errors.ts";
import type { Agents } from "../uplink/agents.ts";
import { launcherOf } from "./launcher.ts";
import { isStarting, starting } from "./machine.ts";
import type { SubresourcePath } from "./path.ts";
import { openPort } from "./port-forward.ts";
import { CLOSE_DISPLACED, CLOSE_NORMAL, type Closing, LOST, type Session } from "./session.ts";
import { StatusError } from "./status.ts";

/** By what the launcher tells of a stream's end (api/launcher-protocol.ts). */
const CLOSINGS: Readonly<Record<string, Closing>> = {
  displaced: { code: CLOSE_DISPLACED, reason: "another client has taken this console over" },
  lost: LOST,
  consoleEnded: { code: CLOSE_NORMAL, reason: "the guest has ended" },
};

/** @throws StatusError with the reason a person can act on */
export async function openSession(caches: Caches, agents: Agents, path: SubresourcePath): Promise<Session> {
  if (path.subresource === "portforward") return openPort(caches, path);
  const stream = await openLauncherStream(caches, agents, path);
  return {
    kind: "bytes",
    stream,
    ending: () => CLOSINGS[endReason(stream) ?? "lost"],
  };
}

/** @throws StatusError with the reason a person can act on */
export async function openLauncherStream(
  caches: Caches,
  agents: Agents,
  path: SubresourcePath,
): Promise<ClientHttp2Stream> {
  const { isRunning, isShuttingDown, nodeName, route, vmi } = launcherOf(caches, path);
  const preserves = path.subresource === "vnc" && path.query?.get("preserveSession") === "true";
  try {
    const query = preserves ? VNC_PRESERVE_SESSION : "";
    return await (await agents.discoveredStreams(nodeName)).open(`${route}/${path.subresource}${query}`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `the ${path.subresource} of the VMI ${path.namespace}/${path.name}`;
    // A guest has its console to the end, so it is asked for; who can't have it should not look for a fault.
    if (isShuttingDown) {
      const message = `the VMI ${path.namespace}/${path.name} is shutting down, so its ${path.subresource} can't be reached: ${reason}`;
      throw new StatusError("Conflict", message, { cause });
    }
    const refusal = cause instanceof RequestError ? REFUSALS[cause.code] : undefined;
    if (refusal !== undefined) throw new StatusError(refusal, `${what}: ${reason}`, { cause });
    const isPassing = cause instanceof OperatorError || cause instanceof RequestError || !isRunning;
    if (isStarting(vmi) && isPassing) throw starting(path, `${what} is not there yet: ${reason}`, cause);
    throw new StatusError(
      isPassing ? "ServiceUnavailable" : "InternalError",
      `${what} can't be reached: ${reason}`,
      { cause },
    );
  }
}

/** The launcher's refusals that time doesn't heal. */
const REFUSALS: Readonly<Record<string, "NotFound" | "Conflict">> = {
  ConsoleAbsent: "NotFound",
  VncAbsent: "NotFound",
  VncInUse: "Conflict",
};
