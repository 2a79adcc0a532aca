/**
 * An informer over pods in a process of its own, measured from outside. The first line of standard input orders,
 * further lines ask; each is answered by one line of JSON. bench/kube-go/main.go speaks the same.
 *
 *   {"server": …}  →  {"syncSeconds": …} once the handler has been told of all pods
 *   heap           →  {"heapBytes": …} after a garbage collection
 *   seen <version> →  {"seen": [[resourceVersion, monotonic nanoseconds], …]} of all updates, once that one is there
 */
import { createInterface } from "node:readline";
import { Client } from "../kube/client.ts";
import { anonymous } from "../kube/config.ts";
import { Informer } from "../kube/informer.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { UndiciTransport } from "../kube/undici-transport.ts";

/** resourceVersion of an update, and when the handler was told: monotonic nanoseconds. */
export type Seen = readonly [version: number, atNs: number];

/** Where the API server is and how it knows us. */
export interface Server {
  readonly server: string;
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface InformerOrder extends Server {
  readonly namespace: string;
  readonly objects: number;
  readonly harm?: InformerHarm;
}

/** What a control run does to make the figures bad. */
export interface InformerHarm {
  /** Busy time for every object that enters the cache. */
  readonly busyMsPerObject?: number;
  /** Copies of every object that are kept beside it. */
  readonly copies?: number;
  /** Once a second nothing else runs for so long. */
  readonly stallMs?: number;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value ?? "") as InformerOrder;
const { server, ca, cert, key, harm = {} } = order;
const tls = { ca, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
const client = new Client({
  transport: new UndiciTransport({ server, tls, credentials: anonymous, namespace: order.namespace }),
  credentials: anonymous,
  userAgent: "virtpod-bench/1.0",
});
const copies: Pod[] = [];
const informer = new Informer({
  resource: client.resource(PODS).namespace(order.namespace),
  transform: harmed,
});
const filled = Promise.withResolvers<void>();
const seen: Seen[] = [];
let awaited: { readonly version: number; readonly resolve: () => void } | undefined;
let added = 0;
informer.addHandler({
  name: "bench",
  onAdd() {
    added += 1;
    if (added === order.objects) filled.resolve();
  },
  onUpdate(_, { metadata }) {
    const version = Number(metadata.resourceVersion);
    seen.push([version, Number(process.hrtime.bigint())]);
    if (awaited !== undefined && version >= awaited.version) awaited.resolve();
  },
});
const stop = new AbortController();
const startMs = performance.now();
const running = informer.run(stop.signal);
await filled.promise;
say({ syncSeconds: (performance.now() - startMs) / 1000 });
if (harm.stallMs !== undefined) setInterval(busy, 1000, harm.stallMs);
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  const [question, argument] = line.split(" ");
  if (question === "heap") say({ heapBytes: heapAfterCollection() });
  if (question === "seen") {
    await untilSeen(Number(argument));
    say({ seen });
  }
}
stop.abort();
await running;
await client.close();
process.exit();

async function untilSeen(version: number): Promise<void> {
  // After a relist the last told need not be the newest.
  if (seen.some(([told]) => told >= version)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  awaited = { version, resolve };
  await promise;
}

function harmed(pod: Pod): Pod {
  for (let copy = 0; copy < (harm.copies ?? 0); copy++) copies.push(structuredClone(pod));
  busy(harm.busyMsPerObject ?? 0);
  return pod;
}

function busy(durationMs: number): void {
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs);
}

/** Needs --expose-gc. */
function heapAfterCollection(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
