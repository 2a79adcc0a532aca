import { Counter, Gauge, type Registry } from "prom-client";
import { Buckets, exportBuckets } from "./buckets.ts";

/** What a work queue counts. Plain numbers, because the queue's own work costs less than a labelled counter. */
export class QueueMetrics {
  adds = 0;
  retries = 0;
  readonly queueSeconds = new Buckets(QUEUE_BOUNDS);
  readonly workSeconds = new Buckets(QUEUE_BOUNDS);
  /** Set by the queue: what it holds now. */
  observe: () => QueueObservation = () => ({ depth: new Map(), unfinishedSeconds: 0, longestSeconds: 0 });
}

export interface QueueObservation {
  /** Ready keys by priority. */
  readonly depth: ReadonlyMap<number, number>;
  /** Sum over the keys being processed of how long they have been. */
  readonly unfinishedSeconds: number;
  readonly longestSeconds: number;
}

/** client-go's: 10 ns to 1000 s in steps of ten. */
const QUEUE_BOUNDS = Array.from({ length: 12 }, (_, step) => 10 ** (step - 8));

interface QueueLabels {
  name: string;
  controller: string;
}

type QueueLabel = "name" | "controller" | "priority";

/** Exposes queues by name, as client-go does; those that are made later too. */
export function exportQueues(registry: Registry, queues: ReadonlyMap<string, QueueMetrics>): void {
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: QueueLabel[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, ...labelNames: QueueLabel[]) =>
    new Gauge({ name, help, labelNames, registers });
  const depth = gauge("workqueue_depth", "Ready keys.", "name", "controller", "priority");
  const unfinished = gauge(
    "workqueue_unfinished_work_seconds",
    "Age of the running work, summed.",
    "name",
    "controller",
  );
  const longest = gauge(
    "workqueue_longest_running_processor_seconds",
    "Age of the oldest run.",
    "name",
    "controller",
  );
  const adds = counter("workqueue_adds_total", "Keys added.", "name", "controller");
  const retries = counter("workqueue_retries_total", "Keys added by back-off.", "name", "controller");
  // prom-client calls `collect` on a metric before it reads it.
  const collect = (metric: Gauge | Counter, set: (labels: QueueLabels, queue: QueueMetrics) => void) =>
    Object.assign(metric, {
      collect() {
        metric.reset();
        for (const [name, queue] of queues) {
          set({ name, controller: name }, queue);
        }
      },
    });
  collect(depth, (labels, queue) => {
    for (const [priority, count] of queue.observe().depth) {
      depth.set({ ...labels, priority: String(priority) }, count);
    }
  });
  collect(unfinished, (labels, queue) => unfinished.set(labels, queue.observe().unfinishedSeconds));
  collect(longest, (labels, queue) => longest.set(labels, queue.observe().longestSeconds));
  collect(adds, (labels, queue) => adds.inc(labels, queue.adds));
  collect(retries, (labels, queue) => retries.inc(labels, queue.retries));
  const series = (pick: (queue: QueueMetrics) => Buckets) =>
    [...queues].map(([name, queue]) => ({ labels: { name, controller: name }, buckets: pick(queue) }));
  exportBuckets(registry, "workqueue_queue_duration_seconds", "Time from add to get.", () =>
    series((queue) => queue.queueSeconds),
  );
  exportBuckets(registry, "workqueue_work_duration_seconds", "Time from get to done.", () =>
    series((queue) => queue.workSeconds),
  );
}
