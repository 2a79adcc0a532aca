/**
 * Many consoles at once on one operator, and what becomes of other machines' status meanwhile. So many guests don't
 * fit onto a machine: the launchers are simulated. Everything between them and the clients is virtpod's own: the
 * aggregated API with its TLS, the operator's sessions, both hops of HTTP/2, and the agent's relays, all on this
 * process's one thread.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { StatusRegistry } from "../agent/launchers/registry.ts";
import { uplinkRoutes } from "../agent/uplink/routes.ts";
import { LAUNCHER_ROUTES, type LauncherStatus } from "../api/launcher-protocol.ts";
import type { Caches } from "../operator/caches.ts";
import { createAuthority, createServingCertificate } from "../operator/certificates/authority.ts";
import { dial, frontProxyAuthority } from "../operator/subresources/front-proxy.fixture.ts";
import { PLAIN_PROTOCOL, SubresourceServer } from "../operator/subresources/server.ts";
import { openSession } from "../operator/subresources/streams.ts";
import { Agents } from "../operator/uplink/agents.ts";
import { Statuses } from "../operator/uplink/statuses.ts";
import { Http2Client } from "../transport/client.ts";
import { type Routes, type ServedConnection, serveHttp2 } from "../transport/server.ts";
import { percentile } from "./median.ts";

export interface ManyConsoles {
  /** Of those asked for, how many echoed each key, and 99 of 100 within SEEMS_IMMEDIATE_MS. */
  readonly consoles: number;
  readonly echoP99Ms: number;
  /** From an agent's word to the operator's knowledge of it, of the other machines. */
  readonly statusP99Ms: number;
}

export interface ManyOptions {
  readonly consoles: number;
  readonly others: number;
  readonly durationMs: number;
  /** The thread stands still for so long each 100 ms: the control run. */
  readonly harmMs: number;
}

const NODE = "node-1";
const NAMESPACE = "bench";
const SERVER_NAME = "virtpod-operator.virtpod.svc";
/** Of one typist, and of one machine's status. */
const INTERVAL_MS = 100;
/** What a person takes for at once. */
const SEEMS_IMMEDIATE_MS = 100;
/** So many of the consoles flood beside what they echo. */
const FLOODING = 4;
const FLOOD = Buffer.alloc(16 * 1024, "x");
/** 1.6 MB/s each: more than a serial port gives. */
const FLOOD_INTERVAL_MS = 10;

export async function manyConsoles(options: ManyOptions): Promise<ManyConsoles> {
  await using world = await World.start(options);
  const harm = setInterval(() => standStill(options.harmMs), INTERVAL_MS);
  try {
    return await world.measure();
  } finally {
    clearInterval(harm);
  }
}

class World {
  readonly #options: ManyOptions;
  readonly #agents: Agents;
  readonly #served: ServedConnection[];
  readonly #server: SubresourceServer;
  readonly #open: () => Promise<Socket>;
  readonly #registry: StatusRegistry;

  private constructor(
    options: ManyOptions,
    parts: {
      readonly agents: Agents;
      readonly served: ServedConnection[];
      readonly server: SubresourceServer;
      readonly open: () => Promise<Socket>;
      readonly registry: StatusRegistry;
    },
  ) {
    this.#options = options;
    this.#agents = parts.agents;
    this.#served = parts.served;
    this.#server = parts.server;
    this.#open = parts.open;
    this.#registry = parts.registry;
  }

  static async start(options: ManyOptions): Promise<World> {
    const agents = new Agents();
    const served: ServedConnection[] = [];
    const launchers = new Map<string, Http2Client>();
    for (let i = 0; i < options.consoles; i++) {
      const routes = { [`POST ${LAUNCHER_ROUTES.console}`]: i < FLOODING ? flood : echo };
      launchers.set(`pod-${i}`, await dialled(routes, served));
    }
    const registry = new StatusRegistry({ kvm: { usable: false, reason: "" }, agentVersion: "0" });
    const broker = {
      announce: async () => ({ pendingCpu: [] }),
      client: (podUid: string) => launchers.get(podUid),
      inspectNetwork: () => undefined,
    };
    for (const connection of ["status", "streams"] as const) {
      const routes = uplinkRoutes(
        {
          broker,
          registry,
          tokenPath: "",
          metrics: () => {
            throw new Error("nobody asks");
          },
        },
        connection,
      );
      const agent = { nodeName: NODE, connection, expiresAt: Number.MAX_SAFE_INTEGER };
      agents.add({ agent, client: await dialled(routes, served) });
    }
    const authority = await createAuthority(Date.now());
    const proxy = await frontProxyAuthority();
    const caches = simulatedCaches();
    const server = new SubresourceServer({
      certificate: await createServingCertificate(authority, [SERVER_NAME], Date.now()),
      trust: {
        clientCa: proxy.caPem,
        allowedNames: [],
        usernameHeaders: ["X-Remote-User"],
        groupHeaders: [],
        extraHeaderPrefixes: [],
      },
      authorize: async () => true,
      open: (path) => openSession(caches, agents, path),
      handlers: {},
      onError: (request, error) => {
        throw new Error(`${request} failed`, { cause: error });
      },
      port: 0,
      host: "127.0.0.1",
    });
    const port = await server.listen();
    const client = await proxy.issue("front-proxy");
    const target = { port, servername: SERVER_NAME, ca: authority.certificatePem, client };
    return new World(options, { agents, served, server, registry, open: () => dial(target) });
  }

  async measure(): Promise<ManyConsoles> {
    const names = Array.from({ length: this.#options.consoles }, (_, i) => `vm-${i}`);
    const typists = await Promise.all(names.map(async (name) => new Typist(await this.#console(name))));
    const statuses = new Statuses(this.#agents, () => {});
    const watch = new StatusWatch(this.#registry, statuses, this.#options.others);
    statuses.start();
    const timers = typists.map((typist) => setInterval(() => typist.type(), INTERVAL_MS));
    watch.start();
    await new Promise((resolve) => setTimeout(resolve, this.#options.durationMs));
    for (const timer of timers) clearInterval(timer);
    watch.stop();
    await Promise.all(typists.map((typist) => typist.finished()));
    statuses.stop();
    for (const { websocket } of typists) websocket.terminate();
    return {
      consoles: typists.filter(({ isServed }) => isServed).length,
      echoP99Ms: percentile(
        typists.flatMap(({ samples }) => samples),
        99,
      ),
      statusP99Ms: percentile(watch.samples, 99),
    };
  }

  async #console(name: string): Promise<WebSocket> {
    const socket = await this.#open();
    const path = `/apis/subresources.kubevirt.io/v1/namespaces/${NAMESPACE}/virtualmachineinstances/${name}/console`;
    const websocket = new WebSocket(`ws://${SERVER_NAME}${path}`, PLAIN_PROTOCOL, {
      createConnection: () => socket,
      headers: { "X-Remote-User": "typist" },
      perMessageDeflate: false,
    });
    await once(websocket, "open");
    return websocket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agents.close();
    for (const served of this.#served) served.destroy();
    await this.#server.close();
  }
}

/** One key after the other; the next once the last has come back. */
class Typist {
  readonly websocket: WebSocket;
  readonly samples: number[] = [];
  #typedAt: number | undefined;
  #settle = () => {};

  constructor(websocket: WebSocket) {
    this.websocket = websocket;
    websocket.on("message", (data: Buffer) => {
      if (this.#typedAt === undefined || !data.includes("k")) return;
      this.samples.push(performance.now() - this.#typedAt);
      this.#typedAt = undefined;
      this.#settle();
    });
  }

  type(): void {
    if (this.#typedAt !== undefined) return;
    this.#typedAt = performance.now();
    this.websocket.send("k");
  }

  get isServed(): boolean {
    if (this.samples.length === 0 || this.#typedAt !== undefined) return false;
    return percentile(this.samples, 99) <= SEEMS_IMMEDIATE_MS;
  }

  /** Until the last key has come back, or 5 s. */
  async finished(): Promise<void> {
    if (this.#typedAt === undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 5_000);
      this.#settle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

class StatusWatch {
  readonly samples: number[] = [];
  readonly #registry: StatusRegistry;
  readonly #names: readonly string[];
  readonly #toldAt = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(registry: StatusRegistry, statuses: Statuses, others: number) {
    this.#registry = registry;
    this.#names = Array.from({ length: others }, (_, i) => `other-${i}`);
    statuses.on("launcher", (podUid) => {
      const toldAt = this.#toldAt.get(podUid);
      if (toldAt !== undefined) this.samples.push(performance.now() - toldAt);
      this.#toldAt.delete(podUid);
    });
  }

  start(): void {
    this.#timer = setInterval(() => {
      const name = this.#names[this.#turn++ % this.#names.length] ?? "";
      if (!this.#toldAt.has(name)) this.#toldAt.set(name, performance.now());
      this.#registry.update(name, statusOf(this.#turn));
    }, INTERVAL_MS / this.#names.length);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function statusOf(turn: number): LauncherStatus {
  return {
    phase: "running",
    interfaces: [],
    timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
    ...(turn % 2 === 0 && { paused: { reason: "user" } }),
  };
}

const echo: NonNullable<Routes[string]> = (request) => {
  const stream = request.accept();
  stream.pipe(stream);
};

/** Echoes beside bytes without end. */
const flood: NonNullable<Routes[string]> = (request) => {
  const stream = request.accept();
  const more = () => {
    if (stream.writable && stream.write(FLOOD)) setTimeout(more, FLOOD_INTERVAL_MS);
  };
  stream.on("drain", more);
  stream.on("data", (chunk: Buffer) => stream.write(chunk));
  more();
};

/** A peer that serves `routes`, over a real unix socket. */
async function dialled(routes: Routes, served: ServedConnection[]): Promise<Http2Client> {
  const listener = createServer().listen(join(tmpdir(), `console-${process.pid}-${served.length}.sock`));
  await once(listener, "listening");
  const socket = connect(listener.address() as string);
  const [accepted] = (await once(listener, "connection")) as [Socket];
  listener.close();
  served.push(serveHttp2(socket, routes));
  return new Http2Client(accepted);
}

/** `bench/vm-7` runs in the pod of UID `pod-7`. */
function simulatedCaches(): Caches {
  const indexOf = (key: string) => key.slice(`${NAMESPACE}/vm-`.length);
  const vmi = (key: string) => ({
    metadata: { namespace: NAMESPACE, name: `vm-${indexOf(key)}`, uid: `vmi-${indexOf(key)}` },
    spec: { domain: { devices: {} } },
    status: { phase: "Running" },
  });
  const pod = (key: string) => ({
    metadata: {
      uid: `pod-${indexOf(key)}`,
      ownerReferences: [{ uid: `vmi-${indexOf(key)}`, controller: true }],
    },
    spec: { nodeName: NODE },
    status: { phase: "Running" },
  });
  return {
    vms: { get: () => undefined },
    vmis: { get: vmi },
    pods: { byIndex: (_index: string, key: string) => [pod(key)] },
  } as unknown as Caches;
}

function standStill(milliseconds: number): void {
  for (const started = performance.now(); performance.now() - started < milliseconds; );
}
