/** The uplink against an operator on loopback: TLS, the routes, relays, and what happens when the operator is away. */
import assert from "node:assert/strict";
import { EventEmitter, on, once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer as createSocketServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, test } from "node:test";
import { createServer, type Server, type TLSSocket } from "node:tls";
import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { pino } from "pino";
import type { AgentMetrics } from "../../api/agent-metrics.ts";
import type { WiredPath } from "../../api/network-path.ts";
import type { AgentStatus, LauncherAnnouncement } from "../../api/uplink-protocol.ts";
import { Http2Client } from "../../transport/client.ts";
import { RequestError } from "../../transport/errors.ts";
import { serveHttp2 } from "../../transport/server.ts";
import { AgentError } from "../errors.ts";
import { StatusRegistry } from "../launchers/registry.ts";
import { NetworkError } from "../network/errors.ts";
import { Uplink } from "./uplink.ts";

const SERVER_NAME = "virtpod-uplink.virtpod.svc";
const WIRED: WiredPath = { interfaces: [], differences: ["eth0-nic: is down"] };
const METRICS: AgentMetrics = {
  node: { cgroupVersion: 2, kernelBurst: "unknown", state: "unknown", refusals: { NotAnnounced: 2 } },
  launchers: [],
};
const POD_UID = "0f3b6c1e-8d2a-4f5b-9c7d-1e2f3a4b5c6d";
const TIMEOUT = { timeout: 60_000 };

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

let certificate: Certificate;
let stranger: Certificate;
let directory: string;
let operator: FakeOperator;
let registry: StatusRegistry;
let uplink: Uplink;
let announced: LauncherAnnouncement[];
let launcher: Http2Client | undefined;
let addresses: string[];
let resolutions: EventEmitter;

/** Accepts agents as the operator does: TLS, then requests towards the agent. */
class FakeOperator {
  readonly #server: Server;
  readonly #events = new EventEmitter();
  readonly #connections: AsyncIterator<[Http2Client]>;
  readonly #sockets = new Set<TLSSocket>();

  constructor(certificate: Certificate) {
    this.#connections = on(this.#events, "agent") as AsyncIterator<[Http2Client]>;
    this.#server = createServer({ ...certificate, minVersion: "TLSv1.3" }, (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      this.#events.emit("agent", new Http2Client(socket));
    });
    this.#server.on("tlsClientError", (error) => this.#events.emit("rejected", error));
  }

  async listen(port = 0): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The two connections of one agent, known by what they say of themselves. */
  async agent(): Promise<Record<"status" | "streams", Http2Client>> {
    const found: Record<string, Http2Client> = {};
    while (Object.keys(found).length < 2) {
      const { value } = await this.#connections.next();
      const client = (value as [Http2Client])[0];
      const identity = (await client.request("GET", "/v1/identity")) as { connection: string };
      found[identity.connection] = client;
    }
    return found as Record<"status" | "streams", Http2Client>;
  }

  async rejection(): Promise<void> {
    await once(this.#events, "rejected");
  }

  /** As when its pod is killed. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}

async function makeCertificate(name: string): Promise<Certificate> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: name }])],
  });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

before(async () => {
  certificate = await makeCertificate(SERVER_NAME);
  stranger = await makeCertificate(SERVER_NAME);
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "uplink-"));
  await writeFile(join(directory, "token"), "token-1\n");
  await writeFile(join(directory, "ca.crt"), certificate.cert);
  registry = new StatusRegistry({
    kvm: { usable: true, reason: "a probe guest ran" },
    agentVersion: "1.2.3",
  });
  announced = [];
  launcher = undefined;
  addresses = ["127.0.0.1"];
  resolutions = new EventEmitter();
  operator = new FakeOperator(certificate);
  await operator.listen();
  uplink = new Uplink({
    broker: {
      announce: async (announcement) => {
        if (announcement.term === 0) throw new AgentError("StaleTerm", "term 0 is over");
        announced.push(announcement);
        return { pendingCpu: announcement.term === 2 ? [POD_UID] : [] };
      },
      client: (podUid) => (podUid === POD_UID ? launcher : undefined),
      inspectNetwork: (podUid) => {
        if (podUid === "fresh") return Promise.reject(new NetworkError("NotWired", "not yet"));
        return podUid === POD_UID ? Promise.resolve(WIRED) : undefined;
      },
    },
    registry,
    metrics: () => METRICS,
    tokenPath: join(directory, "token"),
    caPath: join(directory, "ca.crt"),
    port: operator.port,
    serverName: SERVER_NAME,
    resolve: async () => {
      resolutions.emit("resolved");
      return addresses;
    },
    resolveIntervalMs: 50,
    log: pino({ level: "silent" }),
  });
});

afterEach(async () => {
  launcher?.destroy();
  await uplink.stop();
  await operator.stop();
  await rm(directory, { recursive: true });
});

/** A launcher at the other end of a unix socket. */
async function connectLauncher(): Promise<void> {
  const server = createSocketServer().listen(join(directory, "launcher.sock"));
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const launcherEnd = connect(join(directory, "launcher.sock"));
  const [agentEnd] = await accepted;
  server.close();
  serveHttp2(launcherEnd, {
    "POST /v1/shutdown": async (request) => {
      const body = (await request.json()) as { gracePeriodSeconds: number };
      if (body.gracePeriodSeconds !== 7) throw new RequestError(400, "BadGrace", "7 was asked for");
      request.reply(202);
    },
    "GET /v1/guest-agent": (request) => request.reply(200, { hostname: "tiny" }),
    "GET /v1/dhcp": (request) => request.reply(200, { leases: {}, counters: { ack: 1 } }),
    "POST /v1/freeze": async (request) => {
      const body = (await request.json()) as { unfreezeTimeoutSeconds: number };
      if (body.unfreezeTimeoutSeconds !== 5) throw new RequestError(400, "BadTime", "5 was asked for");
      request.reply(204);
    },
    "POST /v1/pause": () => {
      throw new RequestError(409, "AlreadyPaused", "the domain is paused");
    },
    "POST /v1/console": (request) => {
      const stream = request.accept();
      stream.pipe(stream);
    },
  });
  launcher = new Http2Client(agentEnd);
}

test("what the agent measures is told", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  assert.deepEqual(await status.request("GET", "/v1/metrics"), METRICS);
});

test("the answer to an announcement names whose CPU burst can't be lowered yet", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  const body = { term: 2, launchers: [] };
  assert.deepEqual(await status.request("PUT", "/v1/launchers", { body }), { pendingCpu: [POD_UID] });
});

test("an agent makes a status and a streams connection, with its token", TIMEOUT, async () => {
  uplink.start();
  const { status, streams } = await operator.agent();
  assert.deepEqual(await status.request("GET", "/v1/identity"), { token: "token-1", connection: "status" });
  assert.deepEqual(await streams.request("GET", "/v1/identity"), { token: "token-1", connection: "streams" });
});

test("the token is read anew for each request: the kubelet rotates it", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  await writeFile(join(directory, "token"), "token-2");
  assert.deepEqual(await status.request("GET", "/v1/identity"), { token: "token-2", connection: "status" });
});

test("statuses stream, and the stream goes on", TIMEOUT, async () => {
  registry.refused(POD_UID, "NotAnnounced", "…");
  uplink.start();
  const { status } = await operator.agent();
  const lines = status.lines("/v1/status") as AsyncGenerator<AgentStatus>;
  const types: string[] = [];
  for (let i = 0; i < 3; i++) types.push((await lines.next()).value.type);
  assert.deepEqual(types, ["node", "refused", "synced"]);
  const next = lines.next();
  registry.update(POD_UID, { phase: "running", interfaces: [], timeline: { launcherStarted: "" } });
  assert.equal((await next).value.type, "launcher");
  await lines.return(undefined);
});

test("an announcement reaches the broker; a stale or malformed one is refused", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  await status.request("PUT", "/v1/launchers", { body: { term: 4, launchers: [] } });
  assert.deepEqual(announced, [{ term: 4, launchers: [] }]);
  await assert.rejects(status.request("PUT", "/v1/launchers", { body: { term: 0, launchers: [] } }), {
    status: 409,
    code: "StaleTerm",
  });
  await assert.rejects(status.request("PUT", "/v1/launchers", { body: { term: 4 } }), {
    status: 400,
    code: "InvalidAnnouncement",
  });
});

test("the agent itself tells of a launcher's network", TIMEOUT, async () => {
  uplink.start();
  const { streams } = await operator.agent();
  assert.deepEqual(await streams.request("GET", `/v1/launchers/${POD_UID}/network`), WIRED);
  await assert.rejects(streams.request("GET", "/v1/launchers/other/network"), {
    status: 503,
    code: "LauncherNotConnected",
  });
  await assert.rejects(streams.request("GET", "/v1/launchers/fresh/network"), {
    status: 409,
    code: "NotWired",
  });
});

test("requests are relayed to the launcher, and so are its refusals", TIMEOUT, async () => {
  await connectLauncher();
  uplink.start();
  const { streams } = await operator.agent();
  const path = `/v1/launchers/${POD_UID}`;
  await streams.request("POST", `${path}/shutdown`, { body: { gracePeriodSeconds: 7 } });
  assert.deepEqual(await streams.request("GET", `${path}/guest-agent`), { hostname: "tiny" });
  assert.deepEqual(await streams.request("GET", `${path}/dhcp`), { leases: {}, counters: { ack: 1 } });
  await streams.request("POST", `${path}/freeze`, { body: { unfreezeTimeoutSeconds: 5 } });
  await assert.rejects(streams.request("POST", `${path}/pause`), { status: 409, code: "AlreadyPaused" });
  await assert.rejects(streams.request("POST", `${path}/attachment`), { status: 404, code: "UnknownRoute" });
  await assert.rejects(streams.request("POST", "/v1/launchers/other/pause"), {
    status: 503,
    code: "LauncherNotConnected",
  });
});

test("a console is relayed byte by byte in both directions", TIMEOUT, async () => {
  await connectLauncher();
  uplink.start();
  const { streams } = await operator.agent();
  const stream = await streams.open(`/v1/launchers/${POD_UID}/console`);
  const sent = Buffer.alloc(2 * 1024 * 1024, "0123456789");
  stream.end(sent);
  assert.ok(Buffer.concat((await stream.toArray()) as Buffer[]).equals(sent));
});

test("an operator with another CA's certificate is not spoken to", TIMEOUT, async () => {
  const { port } = operator;
  await operator.stop();
  operator = new FakeOperator(stranger);
  await operator.listen(port);
  uplink.start();
  await operator.rejection();
});

test("a CA that appears after the start is enough", TIMEOUT, async () => {
  await rm(join(directory, "ca.crt"));
  uplink.start();
  await writeFile(join(directory, "ca.crt"), certificate.cert);
  await operator.agent();
});

test("an operator that comes back is connected to again", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  const port = operator.port;
  await operator.stop();
  await status.ended;
  operator = new FakeOperator(certificate);
  await operator.listen(port);
  await operator.agent();
});

test("a replica that shows up later is connected to", TIMEOUT, async () => {
  addresses = [];
  uplink.start();
  addresses = ["127.0.0.1"];
  await operator.agent();
});

test("a replica that left the name keeps its connection while it lives", TIMEOUT, async () => {
  uplink.start();
  const { status } = await operator.agent();
  addresses = [];
  // The second one after the change begins after the plan of the first was carried out.
  await once(resolutions, "resolved");
  await once(resolutions, "resolved");
  assert.ok(status.isOpen);
});

test("stopping ends the connections", TIMEOUT, async () => {
  uplink.start();
  const { status, streams } = await operator.agent();
  await uplink.stop();
  await Promise.all([status.ended, streams.ended]);
});
