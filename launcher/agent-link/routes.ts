/** The agent's requests (api/launcher-protocol.ts), answered by the launcher's parts. */
import type { Duplex } from "node:stream";
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import type { GuestAgentInfo } from "../../api/guest-agent.ts";
import {
  type Attachment,
  type FreezeRequest,
  LAUNCHER_ROUTES,
  type LauncherStatus,
  type ShutdownRequest,
  VNC_PRESERVE_SESSION,
} from "../../api/launcher-protocol.ts";
import type { DhcpState } from "../../api/network-path.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Routes, TransportRequest } from "../../transport/server.ts";
import { type Check, integer, object } from "../check.ts";
import type { Verb } from "../lifecycle/admission.ts";
import { parseAttachment } from "./attachment.ts";

/** @param endReason asked once the stream has been ended from this side and all is sent */
export type AcceptStream = (endReason?: () => string | undefined) => Duplex;

export interface LauncherPorts {
  /** @throws RequestError 409 when it contradicts an earlier one */
  attach(attachment: Attachment): void;
  /** The newest status, now and after each change. */
  watchStatus(): AsyncIterable<LauncherStatus>;
  shutdown(gracePeriodMs: number): void;
  /** @throws RequestError */
  request(verb: Verb): Promise<void>;
  /** @throws RequestError */
  guestAgentInfo(): GuestAgentInfo;
  dhcp(): DhcpState;
  /** @throws RequestError */
  statistics(): Promise<DomainStatistics>;
  /** @throws RequestError */
  freeze(unfreezeTimeoutSeconds: number): Promise<void>;
  /** @throws RequestError */
  unfreeze(): Promise<void>;
  /** @throws RequestError where there is no console, before `accept` is called */
  console(accept: AcceptStream): Promise<void>;
  /** @throws RequestError where there is no VNC or it is in use, before `accept` is called */
  vnc(accept: AcceptStream, preserveSession: boolean): Promise<void>;
}

/** Largest body of a request with a number or two in it, in bytes. */
const MAX_SMALL_BYTES = 1024;

const shutdownRequest = object<ShutdownRequest>({ gracePeriodSeconds: integer({ min: 0 }) });
/** A timer holds 24.8 days. */
const freezeRequest = object<FreezeRequest>({
  unfreezeTimeoutSeconds: integer({ min: 0, max: 24 * 24 * 3600 }),
});

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
      const { gracePeriodSeconds } = parsed("shutdown", shutdownRequest, await request.json(MAX_SMALL_BYTES));
      // Answered before it begins: with nothing to wait for, the launcher is gone in a moment.
      request.reply(202);
      ports.shutdown(gracePeriodSeconds * 1000);
    },
    [`POST ${LAUNCHER_ROUTES.pause}`]: perform("pause"),
    [`POST ${LAUNCHER_ROUTES.unpause}`]: perform("unpause"),
    [`POST ${LAUNCHER_ROUTES.reset}`]: perform("reset"),
    [`POST ${LAUNCHER_ROUTES.softReboot}`]: perform("soft-reboot"),
    [`GET ${LAUNCHER_ROUTES.guestAgent}`]: (request) => request.reply(200, ports.guestAgentInfo()),
    [`GET ${LAUNCHER_ROUTES.dhcp}`]: (request) => request.reply(200, ports.dhcp()),
    [`GET ${LAUNCHER_ROUTES.statistics}`]: async (request) => request.reply(200, await ports.statistics()),
    [`POST ${LAUNCHER_ROUTES.freeze}`]: async (request) => {
      const body = parsed("freeze", freezeRequest, await request.json(MAX_SMALL_BYTES));
      await ports.freeze(body.unfreezeTimeoutSeconds);
      request.reply(204);
    },
    [`POST ${LAUNCHER_ROUTES.unfreeze}`]: async (request) => {
      await ports.unfreeze();
      request.reply(204);
    },
    [`POST ${LAUNCHER_ROUTES.console}`]: (request) => ports.console((endReason) => request.accept(endReason)),
    [`POST ${LAUNCHER_ROUTES.vnc}`]: (request) =>
      ports.vnc((endReason) => request.accept(endReason), request.path.endsWith(VNC_PRESERVE_SESSION)),
  };
}

/** @throws RequestError 400 */
function parsed<T>(name: string, check: Check<T>, body: unknown): T {
  try {
    return check(body, "");
  } catch (cause) {
    const code = `${name[0]?.toUpperCase()}${name.slice(1)}RequestInvalid`;
    throw new RequestError(400, code, `${name} ${(cause as Error).message}`, { cause });
  }
}
