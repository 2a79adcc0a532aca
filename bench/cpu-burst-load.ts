/** Requests for work to a guest, as bursts of a client's that thinks in between, and as a neighbour's even stream. */
import { get } from "node:http";
import { sleep } from "../lib/clock.ts";

/** A guest under a limit may be held up for a while; this long it never is. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Milliseconds until the guest has done that many iterations of work and answered. */
export function requestMs(address: string, iterations: number): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const url = `http://${address}/burn?iterations=${iterations}`;
    // Without `agent` each has a connection of its own: the guest closes it anyway.
    const request = get(url, { agent: false, timeout: REQUEST_TIMEOUT_MS }, (response) => {
      response.resume();
      response.once("end", () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt);
        else reject(new Error(`${url} answered ${response.statusCode}`));
      });
      response.once("error", reject);
    });
    request.once("timeout", () => request.destroy(new Error(`${url} did not answer`)));
    request.once("error", reject);
  });
}

export interface Bursts {
  readonly address: string;
  readonly iterations: number;
  readonly bursts: number;
  /** One after the other, each as soon as the one before is answered. */
  readonly requestsPerBurst: number;
  /** Between two bursts, in milliseconds: evenly spread, so that no rhythm meets the periods of the quota. */
  readonly pauseMs: readonly [number, number];
}

/** Milliseconds of each request. */
export async function burstsMs(load: Bursts): Promise<readonly number[]> {
  const samples: number[] = [];
  const [shortest, longest] = load.pauseMs;
  for (let burst = 0; burst < load.bursts; burst++) {
    await sleep(shortest + Math.random() * (longest - shortest));
    for (let request = 0; request < load.requestsPerBurst; request++) {
      samples.push(await requestMs(load.address, load.iterations));
    }
  }
  return samples;
}

/** Milliseconds of each request of a client that asks every `everyMs`, until told to stop. */
export async function streamMs(
  address: string,
  iterations: number,
  everyMs: number,
  stop: AbortSignal,
): Promise<readonly number[]> {
  const samples: number[] = [];
  while (!stop.aborted) {
    const startedAt = performance.now();
    samples.push(await requestMs(address, iterations));
    await sleep(Math.max(0, everyMs - (performance.now() - startedAt)));
  }
  return samples;
}
