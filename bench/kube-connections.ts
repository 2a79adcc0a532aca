/**
 * Twenty informers and a writer over one client, in a process of its own; its sockets are counted from outside.
 * The first line of standard input orders, further lines ask; each is answered by one line of JSON.
 *
 *   {"server": …}  →  {} once all informers have their lists and watch on
 *   write          →  {"writes": [Write, …], "seen": [[resourceVersion, monotonic nanoseconds], …]} of the pods
 *   expire         →  {} when 20 watches have been ended by the server 12 times, as 20 informers' are in an hour
 *   reopened       →  {} once all informers watch again after a cut
 */
import { createInterface } from "node:readline";
import { Client } from "../kube/client.ts";
import { anonymous } from "../kube/config.ts";
import { Informer } from "../kube/informer.ts";
import { describe, type KubeObject, type ResourceDescriptor } from "../kube/objects.ts";
import * as resources from "../kube/resources.ts";
import type { Transport, TransportRequest, TransportResponse } from "../kube/transport.ts";
import { UndiciTransport } from "../kube/undici-transport.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Seen, Server } from "./kube-informer.ts";
import { type Pace, type Write, writeAtPace } from "./kube-writer.ts";

export interface ConnectionsOrder extends Server {
  readonly namespace: string;
  readonly podCount: number;
  readonly pace: Pace;
  readonly http2: boolean;
  /** The control run: a new client for every watch, none of them closed. */
  readonly leak: boolean;
}

export interface WrittenAndSeen {
  readonly writes: readonly Write[];
  readonly seen: readonly Seen[];
}

/** The server ends a watch after 5 to 10 min. */
const EXPIRIES_PER_HOUR = 12;
/** Waits for a back-off are cut down; the connections behind it are real. */
const SPEED = 50;
const apps = (plural: string, kind: string) =>
  describe({ group: "apps", version: "v1", plural, kind, namespaced: true });
const KINDS: readonly ResourceDescriptor[] = [
  resources.PODS,
  resources.NODES,
  resources.EVENTS,
  resources.SECRETS,
  resources.CONFIG_MAPS,
  resources.NAMESPACES,
  resources.SERVICE_ACCOUNTS,
  resources.SERVICES,
  resources.PERSISTENT_VOLUME_CLAIMS,
  resources.ENDPOINT_SLICES,
  resources.LEASES,
  resources.POD_DISRUPTION_BUDGETS,
  resources.CONTROLLER_REVISIONS,
  resources.PRIORITY_CLASSES,
  resources.STORAGE_CLASSES,
  resources.CUSTOM_RESOURCE_DEFINITIONS,
  resources.VALIDATING_WEBHOOK_CONFIGURATIONS,
  apps("deployments", "Deployment"),
  apps("replicasets", "ReplicaSet"),
  apps("daemonsets", "DaemonSet"),
];

/** Tells how many watches have been opened. */
class WatchCounter implements Transport {
  readonly host: string;
  readonly #transport: Transport;
  #opened = 0;
  #waiting: { readonly count: number; readonly resolve: () => void } | undefined;

  constructor(transport: Transport) {
    this.host = transport.host;
    this.#transport = transport;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    const response = await this.#transport.send(request);
    if (request.path.includes("watch=true") && response.statusCode === 200) {
      this.#opened += 1;
      if (this.#waiting !== undefined && this.#opened >= this.#waiting.count) this.#waiting.resolve();
    }
    return response;
  }

  async untilOpened(count: number): Promise<void> {
    if (this.#opened >= count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting = { count, resolve };
    await promise;
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}

const quickClock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * SPEED,
  setTimeout: (callback, delayMs) => systemClock.setTimeout(callback, delayMs / SPEED),
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value ?? "") as ConnectionsOrder;
const shared = transport();
const counter = new WatchCounter(shared);
const client = clientOver(counter);
const stop = new AbortController();
const informers = KINDS.map((kind) => {
  // Silence is not what is measured, and the clock is too quick for it.
  const options = { clock: quickClock, silenceTimeoutMs: 3_600_000 * SPEED, auditMs: 0 };
  return new Informer({ resource: client.resource(kind), ...options });
});
const seen: Seen[] = [];
const pods = informers[0] as Informer<KubeObject>;
pods.addHandler({
  name: "bench",
  onUpdate: (_, { metadata }) => {
    seen.push([Number(metadata.resourceVersion), Number(process.hrtime.bigint())]);
  },
});
const running = informers.map((informer) => informer.run(stop.signal));
await Promise.all(informers.map((informer) => informer.waitForSync(stop.signal)));
say({});
let cuts = 0;
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  if (line === "write") say(await write());
  if (line === "expire") {
    await expireWatches();
    say({});
  }
  if (line === "reopened") {
    cuts += 1;
    await counter.untilOpened(KINDS.length * (1 + cuts));
    say({});
  }
}
stop.abort();
await Promise.all(running);
await client.close();
process.exit();

async function write(): Promise<WrittenAndSeen> {
  const writes = await writeAtPace(client, order.namespace, order.podCount, order.pace);
  const last = Math.max(...writes.map(({ resourceVersion }) => resourceVersion));
  await pods.waitForVersion(String(last), { timeoutMs: 10_000 * SPEED });
  return { writes, seen };
}

async function expireWatches(): Promise<void> {
  for (let turn = 0; turn < EXPIRIES_PER_HOUR; turn++) {
    await Promise.all(
      informers.map(async ({ resource: { descriptor }, resourceVersion }) => {
        const one = clientOver(order.leak ? transport() : shared);
        const options = { resourceVersion, timeoutSeconds: 1, allowBookmarks: true, signal: stop.signal };
        for await (const _ of one.resource(descriptor).watch(options));
      }),
    );
  }
}

function transport(): UndiciTransport {
  const { server, namespace, http2, ca, cert, key } = order;
  // A name that every API server's certificate has: the way there leads through an address of this machine's.
  const servername = "kubernetes.default.svc";
  const tls = { ca, servername, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
  return new UndiciTransport({ server, tls, credentials: anonymous, namespace }, { http2 });
}

function clientOver(transport: Transport): Client {
  return new Client({ transport, credentials: anonymous, userAgent: "virtpod-bench/1.0" });
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
