/** The agent's requests (api/launcher-protocol.ts), answered by the launcher's parts. */
import type { Duplex } from "node:stream";
import {
  type Attachment,
  LAUNCHER_ROUTES,
  type LauncherStatus,
  type ShutdownRequest,
} from "../../api/launcher-protocol.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Routes, TransportRequest } from "../../transport/server.ts";
import { integer, object } from "../check.ts";
import type { Verb } from "../lifecycle/admission.ts";
import { parseAttachment } from "./attachment.ts";

export interface LauncherPorts {
  /** @throws RequestError 409 when it contradicts an earlier one */
  attach(attachment: Attachment): void;
  /** The newest status, now and after each change. */
  watchStatus(): AsyncIterable<LauncherStatus>;
  shutdown(gracePeriodMs: number): void;
  /** @throws RequestError */
  request(verb: Verb): Promise<void>;
  /** @throws RequestError where there is no console, before `accept` is called */
  console(accept: () => Duplex): Promise<void>;
  /** @throws RequestError where there is no VNC, before `accept` is called */
  vnc(accept: () => Duplex): Promise<void>;
}

/** Largest body of a shutdown request, in bytes. */
const MAX_SHUTDOWN_BYTES = 1024;

const shutdownRequest = object<ShutdownRequest>({ gracePeriodSeconds: integer({ min: 0 }) });

export function launcherRoutes(ports: LauncherPorts): Routes {
  const perform = (verb: Verb) => async (request: TransportRequest) => {
    await ports.request(verb);
    request.reply(204);
  };
  return {
    [`PUT ${LAUNCHER_ROUTES.attachment}`]: async (request) => {
      ports.attach(parseAttachment(await request.json()));
      request.reply(204);
    },
    [`GET ${LAUNCHER_ROUTES.status}`]: (request) => request.replyLines(ports.watchStatus()),
    [`POST ${LAUNCHER_ROUTES.shutdown}`]: async (request) => {
      const { gracePeriodSeconds } = parseShutdown(await request.json(MAX_SHUTDOWN_BYTES));
      // Answered before it begins: with nothing to wait for, the launcher is gone in a moment.
      request.reply(202);
      ports.shutdown(gracePeriodSeconds * 1000);
    },
    [`POST ${LAUNCHER_ROUTES.pause}`]: perform("pause"),
    [`POST ${LAUNCHER_ROUTES.unpause}`]: perform("unpause"),
    [`POST ${LAUNCHER_ROUTES.reset}`]: perform("reset"),
    [`POST ${LAUNCHER_ROUTES.softReboot}`]: perform("soft-reboot"),
    [`POST ${LAUNCHER_ROUTES.console}`]: (request) => ports.console(() => request.accept()),
    [`POST ${LAUNCHER_ROUTES.vnc}`]: (request) => ports.vnc(() => request.accept()),
  };
}

function parseShutdown(body: unknown): ShutdownRequest {
  try {
    return shutdownRequest(body, "");
  } catch (cause) {
    throw new RequestError(400, "ShutdownRequestInvalid", `shutdown ${(cause as Error).message}`, { cause });
  }
}
