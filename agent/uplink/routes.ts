/** What the agent answers to an operator: see api/uplink-protocol.ts. */
import { readFile } from "node:fs/promises";
import type { AgentMetrics } from "../../api/agent-metrics.ts";
import { FREEZE_DEADLINE_MS, LAUNCHER_ROUTES, VNC_PRESERVE_SESSION } from "../../api/launcher-protocol.ts";
import { type AgentIdentity, NETWORK_ROUTE, UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import { endReason, type Http2Client } from "../../transport/client.ts";
import { RequestError, TransportError } from "../../transport/errors.ts";
import { relay } from "../../transport/relay.ts";
import type { Handler, Routes, TransportRequest } from "../../transport/server.ts";
import { AgentError } from "../errors.ts";
import { parseAnnouncement } from "../launchers/announcement.ts";
import type { Broker } from "../launchers/broker.ts";
import type { StatusRegistry } from "../launchers/registry.ts";
import { NetworkError } from "../network/errors.ts";

/** Requests to a launcher are a few dozen bytes. */
const MAX_LAUNCHER_REQUEST_BYTES = 4096;

/** A request that is passed on to a launcher. */
interface Relayed {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Of the answer. */
  readonly status: number;
  /** The launcher's, in milliseconds; the transport's own unless told. */
  readonly deadlineMs?: number;
}

/** What an operator may ask of a launcher. Nothing else is relayed. */
const LAUNCHER_REQUESTS: readonly Relayed[] = [
  { method: "POST", path: LAUNCHER_ROUTES.shutdown, status: 202 },
  { method: "POST", path: LAUNCHER_ROUTES.pause, status: 204 },
  { method: "POST", path: LAUNCHER_ROUTES.unpause, status: 204 },
  { method: "POST", path: LAUNCHER_ROUTES.reset, status: 204 },
  { method: "POST", path: LAUNCHER_ROUTES.softReboot, status: 204 },
  { method: "GET", path: LAUNCHER_ROUTES.guestAgent, status: 200 },
  { method: "GET", path: LAUNCHER_ROUTES.dhcp, status: 200 },
  { method: "GET", path: LAUNCHER_ROUTES.statistics, status: 200 },
  { method: "POST", path: LAUNCHER_ROUTES.freeze, status: 204, deadlineMs: FREEZE_DEADLINE_MS },
  { method: "POST", path: LAUNCHER_ROUTES.unfreeze, status: 204, deadlineMs: FREEZE_DEADLINE_MS },
];
const LAUNCHER_STREAMS: readonly string[] = [LAUNCHER_ROUTES.console, LAUNCHER_ROUTES.vnc];

export interface RoutesOptions {
  readonly broker: Pick<Broker, "announce" | "client" | "inspectNetwork">;
  readonly registry: StatusRegistry;
  readonly metrics: () => AgentMetrics;
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
    [`GET ${UPLINK_ROUTES.metrics}`]: async (request) => request.reply(200, options.metrics()),
    [`GET ${UPLINK_ROUTES.launchers}/{podUid}/${NETWORK_ROUTE}`]: (request) => tellNetwork(options, request),
  };
  for (const relayed of LAUNCHER_REQUESTS) {
    routes[launcherRoute(relayed.method, relayed.path)] = (request) =>
      relayRequest(options, request, relayed);
  }
  for (const path of LAUNCHER_STREAMS) {
    routes[launcherRoute("POST", path)] = (request) => relayStream(options, request, path);
  }
  return routes;
}

/** `/v1/pause` of a launcher is `/v1/launchers/{podUid}/pause` here. */
function launcherRoute(method: string, path: string): string {
  return `${method} ${UPLINK_ROUTES.launchers}/{podUid}/${path.slice("/v1/".length)}`;
}

async function announce({ broker }: RoutesOptions, request: TransportRequest): Promise<void> {
  try {
    const answer = await broker.announce(parseAnnouncement(await request.json()));
    if (answer.pendingCpu.length === 0) request.reply(204);
    else request.reply(200, answer);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new RequestError(error.code === "StaleTerm" ? 409 : 400, error.code, error.message, {
      cause: error,
    });
  }
}

async function tellNetwork({ broker }: RoutesOptions, request: TransportRequest): Promise<void> {
  const podUid = request.params["podUid"] ?? "";
  const path = broker.inspectNetwork(podUid);
  if (path === undefined) throw notConnected(podUid);
  try {
    request.reply(200, await path);
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    throw new RequestError(409, error.code, error.message, { cause: error });
  }
}

async function relayRequest(
  options: RoutesOptions,
  request: TransportRequest,
  { method, path, status, deadlineMs }: Relayed,
): Promise<void> {
  const launcher = launcherOf(options, request);
  const body = method === "GET" ? undefined : await optionalJson(request);
  const answer = await passingFailures(() =>
    launcher.request(method, path, {
      ...(body !== undefined && { body }),
      ...(deadlineMs !== undefined && { deadlineMs }),
    }),
  );
  request.reply(status, answer);
}

async function relayStream(options: RoutesOptions, request: TransportRequest, path: string): Promise<void> {
  const launcher = launcherOf(options, request);
  const gone = new AbortController();
  request.stream.once("close", () => gone.abort());
  const query = request.path.endsWith(VNC_PRESERVE_SESSION) ? VNC_PRESERVE_SESSION : "";
  const upstream = await passingFailures(() => launcher.open(path + query, { signal: gone.signal }));
  await relay(
    request.accept(() => endReason(upstream) ?? "lost"),
    upstream,
  );
}

/** @throws RequestError LauncherNotConnected */
function launcherOf({ broker }: RoutesOptions, request: TransportRequest): Http2Client {
  const podUid = request.params["podUid"] ?? "";
  const client = broker.client(podUid);
  if (client === undefined) throw notConnected(podUid);
  return client;
}

function notConnected(podUid: string): RequestError {
  return new RequestError(
    503,
    "LauncherNotConnected",
    `the launcher of pod ${podUid} is not connected to the agent`,
  );
}

async function optionalJson(request: TransportRequest): Promise<unknown> {
  try {
    return await request.json(MAX_LAUNCHER_REQUEST_BYTES);
  } catch (error) {
    // Few have a body, and a missing one is the launcher's to refuse.
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
