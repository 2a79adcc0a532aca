/** One run of each measurement of kube/, every one with measured processes of its own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "../kube/client.ts";
import { loadConfig } from "../kube/connect.ts";
import { kubeconfigPath, ROOT } from "../test/harness/cluster.ts";
import { MeasuredProcess } from "./kube-child.ts";
import type { ConnectionsOrder, WrittenAndSeen } from "./kube-connections.ts";
import type { InformerHarm, InformerOrder, Seen, Server } from "./kube-informer.ts";
import type { QueueFigures } from "./kube-queue.ts";
import type { ReplayOrder, ReplayResult } from "./kube-replay.ts";
import { countConnections, openPath } from "./kube-sockets.ts";
import { type Pace, type Write, writeAtPace } from "./kube-writer.ts";
import { median, percentile } from "./median.ts";

/** What all runs read and write: pods in a namespace of a real API server. */
export interface Ground {
  readonly client: Client;
  readonly server: Server;
  readonly namespace: string;
  readonly podCount: number;
}

export type Command = readonly [string, ...string[]];

export interface InformRun {
  readonly syncSeconds: number;
  /** After the writes, nothing collected by force. */
  readonly residentBytes: number;
  readonly peakBytes: number;
  /** After a garbage collection. */
  readonly heapBytes: number;
  /** Of each write, from its answer to the handler; negative when the handler was first. */
  readonly watchMs: readonly number[];
  /** Of each write, from its request to its answer. */
  readonly writeMs: readonly number[];
}

export interface ReplayRun {
  /** That the handler was told of. */
  readonly eventsPerSecond: number;
  /** From when an event was due to the handler, in the last quarter of the events. */
  readonly lagP50Ms: number;
  readonly lagP99Ms: number;
}

export interface ConnectionsRun {
  /** The most at any time before the reconnects. */
  readonly connections: number;
  /** The most at any time during an hour's reconnects. */
  readonly connectionsReconnecting: number;
}

/** Twelve are what an hour of watches of 5 min would be, were each to end with its connection. */
const CUTS = 12;
const SAMPLE_MS = 20;

/** What a measured process is told of the API server. @throws Error where the kubeconfig has no client certificate */
export async function apiServer(): Promise<Server> {
  const { server, tls } = await loadConfig({ environment: process.env, kubeconfig: kubeconfigPath() });
  const text = (material: string | Buffer | undefined) => material?.toString();
  const [ca, cert, key] = [text(tls.ca), text(tls.cert), text(tls.key)];
  if (ca === undefined || cert === undefined || key === undefined) {
    throw new Error("the kubeconfig must have a CA, a client certificate and its key; this one has not");
  }
  return { server, ca, cert, key };
}

/** A program of this folder under Node, with the flags that the operator has. */
export function nodeCommand(file: string, ...args: string[]): Command {
  return [process.execPath, ...operatorFlags(), "--expose-gc", join(import.meta.dirname, file), ...args];
}

export async function informRun(
  ground: Ground,
  command: Command,
  pace: Pace,
  extra: { readonly harm?: InformerHarm; readonly protobuf?: boolean } = {},
): Promise<InformRun> {
  const { client, server, namespace, podCount } = ground;
  const order: InformerOrder & { protobuf?: boolean } = { ...server, namespace, objects: podCount, ...extra };
  await using informer = new MeasuredProcess(command);
  const { syncSeconds } = await informer.ask<{ syncSeconds: number }>(JSON.stringify(order));
  const writes = await writeAtPace(client, namespace, podCount, pace);
  const last = Math.max(...writes.map(({ resourceVersion }) => resourceVersion));
  const { seen } = await informer.ask<{ seen: Seen[] }>(`seen ${last}`);
  const { resident: residentBytes, peak: peakBytes } = informer.memory();
  const { heapBytes } = await informer.ask<{ heapBytes: number }>("heap");
  const writeMs = writes.map(({ sentNs, answeredNs }) => (answeredNs - sentNs) / 1e6);
  return { syncSeconds, residentBytes, peakBytes, heapBytes, watchMs: watchLatencies(writes, seen), writeMs };
}

/** @throws Error when a write was not told */
export function watchLatencies(writes: readonly Write[], seen: readonly Seen[]): number[] {
  const times = new Map(seen);
  return writes.map(({ resourceVersion, answeredNs }) => {
    const atNs = times.get(resourceVersion);
    if (atNs === undefined) throw new Error(`the handler was not told of the write ${resourceVersion}`);
    return (atNs - answeredNs) / 1e6;
  });
}

export async function replayRun(
  ground: Ground,
  command: Command,
  pace: Pick<ReplayOrder, "eventsPerSecond" | "seconds">,
  harm: InformerHarm = {},
): Promise<ReplayRun> {
  const { server, namespace, podCount } = ground;
  const { eventsPerSecond, seconds } = pace;
  const replayOrder: ReplayOrder = { ...server, namespace, ...pace };
  await using replay = new MeasuredProcess([process.execPath, join(import.meta.dirname, "kube-replay.ts")]);
  const address = await replay.ask<Server>(JSON.stringify(replayOrder));
  await using informer = new MeasuredProcess(command);
  const order: InformerOrder = { ...address, namespace, objects: podCount, harm };
  await informer.ask(JSON.stringify(order));
  const { startNs, firstVersion } = await replay.ask<ReplayResult>("start");
  const count = eventsPerSecond * seconds;
  const { seen } = await informer.ask<{ seen: Seen[] }>(`seen ${firstVersion + count - 1}`);
  if (seen.length !== count)
    throw new Error(`of ${count} events replayed the handler was told ${seen.length}`);
  const lags = seen.map(([version, atNs]) => {
    const dueNs = startNs + ((version - firstVersion + 1) / eventsPerSecond) * 1e9;
    return (atNs - dueNs) / 1e6;
  });
  const lastNs = seen.at(-1)?.[1] ?? Number.NaN;
  const lastLags = lags.slice(-count / 4);
  return {
    eventsPerSecond: count / ((lastNs - startNs) / 1e9),
    lagP50Ms: median(lastLags),
    lagP99Ms: percentile(lastLags, 99),
  };
}

/** 20 informers and 1,000 writes, then 240 watches ended by the server and every connection cut 12 times. */
export async function connectionsRun(ground: Ground, sabotage: boolean): Promise<ConnectionsRun> {
  const { server, namespace, podCount } = ground;
  const path = await openPath(new URL(server.server));
  await using informers = new MeasuredProcess(nodeCommand("kube-connections.ts"));
  let most = 0;
  const sampling = setInterval(() => {
    most = Math.max(most, countConnections(informers.pid, path.port));
  }, SAMPLE_MS);
  try {
    const order: ConnectionsOrder = {
      ...server,
      server: `https://127.0.0.1:${path.port}`,
      namespace,
      podCount,
      pace: { writesPerSecond: 250, seconds: 4 },
      http2: !sabotage,
      leak: sabotage,
    };
    await informers.ask(JSON.stringify(order));
    await informers.ask<WrittenAndSeen>("write");
    const connections = most;
    most = 0;
    await informers.ask("expire");
    for (let cut = 0; cut < CUTS; cut++) {
      path.cut();
      await informers.ask("reopened");
    }
    return { connections, connectionsReconnecting: most };
  } finally {
    clearInterval(sampling);
    path.close();
  }
}

export async function queueRun(sabotage: boolean): Promise<QueueFigures> {
  await using queue = new MeasuredProcess(nodeCommand("kube-queue.ts", ...(sabotage ? ["--harm"] : [])));
  return await queue.ask<QueueFigures>("");
}

/** Node's flags in the operator's Deployment: what is shipped is what is measured. */
function operatorFlags(): string[] {
  const file = "charts/virtpod/templates/operator.yaml";
  const [, command] = /\n +command:\n((?: +- \S+\n)+)/.exec(readFileSync(join(ROOT, file), "utf8")) ?? [];
  const flags = [...(command ?? "").matchAll(/^ +- (--\S+)$/gm)].map(([, flag]) => flag ?? "");
  if (flags.length === 0) throw new Error(`${file} has no flags for Node any more`);
  return flags;
}
