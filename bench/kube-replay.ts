/**
 * An API server that has pods and one watch, and changes them at a pace that a real one does not reach: HTTP/2 over
 * TLS in a process of its own. The first line of standard input orders; it answers with how it is reached. `start`
 * begins the changes, and is answered when the last one has been written.
 *
 * Each change is due at a time of its own: what is late, because the reader does not keep up and flow control holds
 * it back, stays due.
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { cryptoProvider, SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { Client } from "../kube/client.ts";
import { anonymous } from "../kube/config.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { UndiciTransport } from "../kube/undici-transport.ts";
import { sleep } from "../lib/clock.ts";
import type { Server } from "./kube-informer.ts";

export interface ReplayOrder extends Server {
  /** Where the pods to serve are read from. */
  readonly namespace: string;
  readonly eventsPerSecond: number;
  readonly seconds: number;
}

export interface ReplayResult {
  /** Monotonic nanoseconds at which the first event was due. */
  readonly startNs: number;
  /** resourceVersion of the first event; each further one has the next. */
  readonly firstVersion: number;
}

/** What is due is written so often. */
const TICK_MS = 5;
/** Above every version of a real server, for all are compared. */
const FIRST_VERSION = 1_000_000_000_000;

cryptoProvider.set(webcrypto);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value ?? "") as ReplayOrder;
const pods = await readPods(order);
const { cert, key } = await selfSigned();
const watching = Promise.withResolvers<ServerHttp2Stream>();
const server = createSecureServer({ cert, key, settings: { maxConcurrentStreams: 250 } });
server.on("stream", (stream, headers) => {
  if (headers[":path"]?.includes("watch=") !== true) {
    stream.respond({ ":status": 404 }, { endStream: true });
    return;
  }
  stream.respond({ ":status": 200, "content-type": "application/json" });
  void sendInitialEvents(stream).then(() => watching.resolve(stream));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
say({ server: `https://127.0.0.1:${port}`, ca: cert } satisfies Server);
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  if (line === "start") say(await replay(await watching.promise));
}
process.exit();

async function replay(stream: ServerHttp2Stream): Promise<ReplayResult> {
  const halves = pods.map(cutAtVersion);
  const { eventsPerSecond, seconds } = order;
  const total = eventsPerSecond * seconds;
  const startNs = Number(process.hrtime.bigint());
  for (let sent = 0; sent < total; ) {
    const due = Math.min(
      total,
      Math.floor(((Number(process.hrtime.bigint()) - startNs) / 1e9) * eventsPerSecond),
    );
    let chunk = "";
    for (; sent < due; sent++) {
      const [head, tail] = halves[sent % halves.length] ?? ["", ""];
      chunk += `{"type":"MODIFIED","object":${head}${FIRST_VERSION + sent}${tail}}\n`;
    }
    if (chunk !== "" && !stream.write(chunk)) await once(stream, "drain");
    await sleep(TICK_MS);
  }
  return { startNs, firstVersion: FIRST_VERSION };
}

/** As a streaming list (KEP-3157): the objects, then a bookmark that says so. */
async function sendInitialEvents(stream: ServerHttp2Stream): Promise<void> {
  for (const pod of pods) {
    const line = `${JSON.stringify({ type: "ADDED", object: pod })}\n`;
    if (!stream.write(line)) await once(stream, "drain");
  }
  const annotations = { "k8s.io/initial-events-end": "true" };
  const metadata = { resourceVersion: String(FIRST_VERSION - 1), annotations };
  stream.write(
    `${JSON.stringify({ type: "BOOKMARK", object: { apiVersion: "v1", kind: "Pod", metadata } })}\n`,
  );
}

function cutAtVersion(pod: Pod): [string, string] {
  const mark = "<version>";
  const text = JSON.stringify({ ...pod, metadata: { ...pod.metadata, resourceVersion: mark } });
  const at = text.indexOf(mark);
  return [text.slice(0, at), text.slice(at + mark.length)];
}

async function readPods({ server, namespace, ca, cert, key }: ReplayOrder): Promise<Pod[]> {
  const tls = { ca, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
  const client = new Client({
    transport: new UndiciTransport({ server, tls, credentials: anonymous, namespace }),
    credentials: anonymous,
    userAgent: "virtpod-bench/1.0",
  });
  const { items } = await client.resource(PODS).namespace(namespace).list({ timeoutMs: 60_000 });
  await client.close();
  return items;
}

async function selfSigned(): Promise<{ cert: string; key: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=replay",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
  };
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
