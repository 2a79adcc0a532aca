/** What the agent answers to an operator: see api/uplink-protocol.ts. */
import { readFile } from "node:fs/promises";
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { type AgentIdentity, UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import type { Http2Client } from "../../transport/client.ts";
import { RequestError, TransportError } from "../../transport/errors.ts";
import { relay } from "../../transport/relay.ts";
import type { Handler, Routes, TransportRequest } from "../../transport/server.ts";
import { AgentError } from "../errors.ts";
import { parseAnnouncement } from "../launchers/announcement.ts";
import type { Broker } from "../launchers/broker.ts";
import type { StatusRegistry } from "../launchers/registry.ts";

/** Requests to a launcher are a few dozen bytes. */
const MAX_LAUNCHER_REQUEST_BYTES = 4096;

/** What an operator may ask of a launcher, and the answer's status. Nothing else is relayed. */
const LAUNCHER_REQUESTS: readonly (readonly [path: string, status: number])[] = [
  [LAUNCHER_ROUTES.shutdown, 202],
  [LAUNCHER_ROUTES.pause, 204],
  [LAUNCHER_ROUTES.unpause, 204],
  [LAUNCHER_ROUTES.reset, 204],
  [LAUNCHER_ROUTES.softReboot, 204],
];
const LAUNCHER_STREAMS: readonly string[] = [LAUNCHER_ROUTES.console, LAUNCHER_ROUTES.vnc];

export interface RoutesOptions {
  readonly broker: Pick<Broker, "announce" | "client">;
  readonly registry: StatusRegistry;
  /** The projected token; the kubelet replaces the file's content before it expires. */
  readonly tokenPath: string;
}

export function uplinkRoutes(options: RoutesOptions, connection: AgentIdentity["connection"]): Routes {
  const routes: Record<string, Handler> = {
    [`GET ${UPLINK_ROUTES.identity}`]: async (request) => {
      const token = (await readFile(options.tokenPath, "utf8")).trim();
      request.reply(200, { token, connection } satisfies AgentIdentity);
    },
    [`PUT ${UPLINK_ROUTES.launchers}`]: (request) => announce(options, request),
    [`GET ${UPLINK_ROUTES.status}`]: (request) => request.replyLines(options.registry.subscribe()),
  };
  for (const [path, status] of LAUNCHER_REQUESTS) {
    routes[launcherRoute(path)] = (request) => relayRequest(options, request, path, status);
  }
  for (const path of LAUNCHER_STREAMS) {
    routes[launcherRoute(path)] = (request) => relayStream(options, request, path);
  }
  return routes;
}

/** `/v1/pause` of a launcher is `/v1/launchers/{podUid}/pause` here. */
function launcherRoute(path: string): string {
  return `POST ${UPLINK_ROUTES.launchers}/{podUid}/${path.slice("/v1/".length)}`;
}

async function announce({ broker }: RoutesOptions, request: TransportRequest): Promise<void> {
  try {
    await broker.announce(parseAnnouncement(await request.json()));
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new RequestError(error.code === "StaleTerm" ? 409 : 400, error.code, error.message, {
      cause: error,
    });
  }
  request.reply(204);
}

async function relayRequest(
  options: RoutesOptions,
  request: TransportRequest,
  path: string,
  status: number,
): Promise<void> {
  const launcher = launcherOf(options, request);
  const body = await optionalJson(request);
  await passingFailures(() => launcher.request("POST", path, body === undefined ? {} : { body }));
  request.reply(status);
}

async function relayStream(options: RoutesOptions, request: TransportRequest, path: string): Promise<void> {
  const launcher = launcherOf(options, request);
  const gone = new AbortController();
  request.stream.once("close", () => gone.abort());
  const upstream = await passingFailures(() => launcher.open(path, { signal: gone.signal }));
  await relay(request.accept(), upstream);
}

/** @throws RequestError LauncherNotConnected */
function launcherOf({ broker }: RoutesOptions, request: TransportRequest): Http2Client {
  const podUid = request.params["podUid"] ?? "";
  const client = broker.client(podUid);
  if (client === undefined) {
    throw new RequestError(
      503,
      "LauncherNotConnected",
      `the launcher of pod ${podUid} is not connected to the agent`,
    );
  }
  return client;
}

async function optionalJson(request: TransportRequest): Promise<unknown> {
  try {
    return await request.json(MAX_LAUNCHER_REQUEST_BYTES);
  } catch (error) {
    // Only shutdown has a body, and a missing one is the launcher's to refuse.
    if (error instanceof TransportError && error.code === "MalformedJson") return undefined;
    throw error;
  }
}

/** A launcher's refusal passes as it is; one that does not answer is a bad gateway. */
async function passingFailures<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof TransportError)
      throw new RequestError(502, error.code, error.message, { cause: error });
    throw error;
  }
}
