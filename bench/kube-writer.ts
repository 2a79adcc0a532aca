/** Writes to pods at an even pace, whatever the answers take, and when each was answered. */
import type { Client } from "../kube/client.ts";
import { PODS } from "../kube/resources.ts";
import { sleep } from "../lib/clock.ts";
import { podName } from "./kube-pods.ts";

export interface Pace {
  readonly writesPerSecond: number;
  readonly seconds: number;
}

export interface Write {
  readonly resourceVersion: number;
  /** Monotonic nanoseconds. */
  readonly sentNs: number;
  readonly answeredNs: number;
}

const TICK_MS = 5;

/**
 * One write per pod in turn: an annotation becomes another value.
 * @throws KubeError of the first write that fails
 */
export async function writeAtPace(
  client: Client,
  namespace: string,
  podCount: number,
  { writesPerSecond, seconds }: Pace,
): Promise<Write[]> {
  const pods = client.resource(PODS).namespace(namespace);
  const value = String(Date.now());
  const write = async (index: number): Promise<Write> => {
    const body = { metadata: { annotations: { "bench/turn": `${value}-${index}` } } };
    const sentNs = nowNs();
    const { metadata } = await pods.patch(podName(index % podCount), { type: "merge", body });
    return { resourceVersion: Number(metadata.resourceVersion), sentNs, answeredNs: nowNs() };
  };
  const writes: Promise<Write>[] = [];
  const startNs = nowNs();
  while (writes.length < writesPerSecond * seconds) {
    const due = Math.min(((nowNs() - startNs) / 1e9) * writesPerSecond, writesPerSecond * seconds);
    while (writes.length < due) writes.push(write(writes.length));
    await sleep(TICK_MS);
  }
  return Promise.all(writes);
}

/** CLOCK_MONOTONIC, which all processes of the machine share. */
function nowNs(): number {
  return Number(process.hrtime.bigint());
}
