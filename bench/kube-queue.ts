/**
 * The work queue by itself, in a process of its own. Prints one line of JSON: QueueFigures.
 * Needs --expose-gc. `--harm` makes both figures bad.
 */

import { WorkQueue } from "../kube/workqueue.ts";
import { systemClock } from "../lib/clock.ts";
import { median } from "./median.ts";

export interface QueueFigures {
  /** Keys added, taken and done per second. */
  readonly operationsPerSecond: number;
  /** Heap that delayed keys hold after garbage collection, their names included. */
  readonly delayedMiB: number;
}

/** As many as a busy controller has in its queue at once. */
const BATCH = 10_000;
const ROUNDS = 200;
const WARM_UP_ROUNDS = 20;
const DELAYED = 100_000;
const HOUR_MS = 3_600_000;

const isHarmed = process.argv.includes("--harm");
/** A namesake of a VM in a namespace of ordinary length. */
const keyOf = (index: number) => `${isHarmed ? "x".repeat(1000) : "production"}/virtual-machine-${index}`;

const figures: QueueFigures = {
  operationsPerSecond: await operationsPerSecond(),
  delayedMiB: delayedMiB(),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);

/** The way a controller's worker goes: `await get()`, then `done`. */
async function operationsPerSecond(): Promise<number> {
  const monotonic = () => {
    for (let spin = 0; spin < 10; spin++) performance.now();
    return performance.now();
  };
  const queue = new WorkQueue(isHarmed ? { clock: { ...systemClock, monotonic } } : {});
  const keys = Array.from({ length: BATCH }, (_, index) => keyOf(index));
  const round = async () => {
    for (const key of keys) queue.add(key);
    for (const _ of keys) {
      const item = await queue.get();
      if (item !== undefined) queue.done(item.key);
    }
  };
  const rates: number[] = [];
  for (let index = 0; index < ROUNDS; index++) {
    const startMs = performance.now();
    await round();
    rates.push(BATCH / ((performance.now() - startMs) / 1000));
  }
  if (queue.length !== 0) throw new Error(`${queue.length} keys are left in the queue`);
  // The median: a round lasts some ms, and every fills the young generation, so it is the collector's too.
  return median(rates.slice(WARM_UP_ROUNDS));
}

function delayedMiB(): number {
  const queue = new WorkQueue();
  const beforeBytes = heapAfterCollection();
  // Spread over an hour in an order that is not that of the delays.
  for (let index = 0; index < DELAYED; index++) queue.addAfter(keyOf(index), 1 + ((index * 7919) % HOUR_MS));
  const bytes = heapAfterCollection() - beforeBytes;
  queue.shutDown();
  return bytes / 2 ** 20;
}

function heapAfterCollection(): number {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}
