/**
 * `node bench/kube-http.ts [RUNS]`: HTTP/2 against HTTP/1.1 with 20 watches and 50 writes/s on the cluster's API
 * server, in turns. Prints one line of JSON: medians by protocol. What it says decided `undici-transport.ts`.
 */
import { loadavg } from "node:os";
import { connectCluster, makeNamespace, removeNamespace } from "../test/harness/cluster.ts";
import { MeasuredProcess } from "./kube-child.ts";
import type { ConnectionsOrder, WrittenAndSeen } from "./kube-connections.ts";
import { createPods, deletePods } from "./kube-pods.ts";
import { apiServer, nodeCommand, watchLatencies } from "./kube-runs.ts";
import { countConnections } from "./kube-sockets.ts";
import { median, percentile, rounded } from "./median.ts";

const PODS = 100;
const PACE = { writesPerSecond: 50, seconds: 10 };

interface Run {
  readonly writeP50Ms: number;
  readonly writeP99Ms: number;
  readonly watchP50Ms: number;
  readonly watchP99Ms: number;
  readonly cpuSeconds: number;
  readonly connections: number;
}

const runs = Number(process.argv[2] ?? 5);
const client = await connectCluster("virtpod-bench/1.0");
const namespace = await makeNamespace(client, "bench-kube-http");
const taken: Record<"http1" | "http2", Run[]> = { http1: [], http2: [] };
try {
  await createPods(client, namespace, PODS);
  for (let turn = 0; turn < runs; turn++) {
    for (const protocol of ["http2", "http1"] as const) taken[protocol].push(await run(protocol === "http2"));
    process.stderr.write(`turn ${turn + 1}: ${JSON.stringify([taken.http2.at(-1), taken.http1.at(-1)])}\n`);
  }
} finally {
  await deletePods(client, namespace);
  await removeNamespace(client, namespace);
  await client.close();
}
const figures = { http2: medians(taken.http2), http1: medians(taken.http1), loadAverage: loadavg()[0] };
process.stdout.write(`${JSON.stringify(figures)}\n`);

async function run(http2: boolean): Promise<Run> {
  const server = await apiServer();
  const order: ConnectionsOrder = { ...server, namespace, podCount: PODS, pace: PACE, http2, leak: false };
  await using informers = new MeasuredProcess(nodeCommand("kube-connections.ts"));
  await informers.ask(JSON.stringify(order));
  const beforeSeconds = informers.cpuSeconds();
  const { writes, seen } = await informers.ask<WrittenAndSeen>("write");
  const writeMs = writes.map(({ sentNs, answeredNs }) => (answeredNs - sentNs) / 1e6);
  const watchMs = watchLatencies(writes, seen);
  return {
    writeP50Ms: median(writeMs),
    writeP99Ms: percentile(writeMs, 99),
    watchP50Ms: median(watchMs),
    watchP99Ms: percentile(watchMs, 99),
    cpuSeconds: informers.cpuSeconds() - beforeSeconds,
    connections: countConnections(informers.pid, Number(new URL(server.server).port || 443)),
  };
}

function medians(all: readonly Run[]): Run {
  const of = (figure: (run: Run) => number) => rounded(median(all.map(figure)));
  return {
    writeP50Ms: of((one) => one.writeP50Ms),
    writeP99Ms: of((one) => one.writeP99Ms),
    watchP50Ms: of((one) => one.watchP50Ms),
    watchP99Ms: of((one) => one.watchP99Ms),
    cpuSeconds: of((one) => one.cpuSeconds),
    connections: of((one) => one.connections),
  };
}
