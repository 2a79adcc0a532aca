import { Counter, Gauge, Histogram, Registry } from "prom-client";
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
const REQUEST_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
const SIZE_BOUNDS = [64, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];
const RECONCILE_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

interface QueueLabels {
  name: string;
  controller: string;
}

export type ReconcileResult = "success" | "error" | "requeue" | "requeue_after";

/** All metrics of `kube/`, under the names that client-go and controller-runtime use. */
export class KubeMetrics {
  readonly registry: Registry;
  readonly #queues = new Map<string, QueueMetrics>();
  readonly #requests;
  readonly #requestSeconds;
  readonly #requestRetries;
  readonly #requestBytes;
  readonly #responseBytes;
  readonly #reconciles;
  readonly #reconcileErrors;
  readonly #terminalErrors;
  readonly #panics;
  readonly #timeouts;
  readonly #reconcileSeconds;
  readonly #maxConcurrent;
  readonly #activeWorkers;
  readonly #leader;
  readonly #leaderTerm;
  readonly #lists;
  readonly #watches;
  readonly #watchErrors;
  readonly #storeVersion;
  readonly #storeObjects;
  readonly #lastEvent;
  readonly #handlerErrors;
  readonly #auditMisses;
  readonly #events;

  constructor(registry: Registry = new Registry()) {
    this.registry = registry;
    const registers = [registry];
    const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Counter({ name, help, labelNames, registers });
    const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Gauge({ name, help, labelNames, registers });
    const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
      new Histogram({ name, help, buckets, labelNames, registers });

    this.#requests = counter("rest_client_requests_total", "Requests by answer.", "code", "method", "host");
    this.#requestSeconds = histogram(
      "rest_client_request_duration_seconds",
      "Time to the head of the answer.",
      REQUEST_BOUNDS,
      "method",
      "host",
    );
    this.#requestRetries = counter(
      "rest_client_request_retries_total",
      "Requests sent again.",
      "code",
      "method",
      "host",
    );
    this.#requestBytes = histogram(
      "rest_client_request_size_bytes",
      "Sizes sent.",
      SIZE_BOUNDS,
      "method",
      "host",
    );
    this.#responseBytes = histogram(
      "rest_client_response_size_bytes",
      "Sizes received.",
      SIZE_BOUNDS,
      "method",
      "host",
    );
    this.#reconciles = counter(
      "controller_runtime_reconcile_total",
      "Reconciles by result.",
      "controller",
      "result",
    );
    this.#reconcileErrors = counter(
      "controller_runtime_reconcile_errors_total",
      "Failed reconciles.",
      "controller",
    );
    this.#terminalErrors = counter(
      "controller_runtime_terminal_reconcile_errors_total",
      "Failed reconciles that are not tried again.",
      "controller",
    );
    this.#panics = counter(
      "controller_runtime_reconcile_panics_total",
      "Reconciles that failed by a programming error.",
      "controller",
    );
    this.#timeouts = counter(
      "controller_runtime_reconcile_timeouts_total",
      "Reconciles past their deadline.",
      "controller",
    );
    this.#reconcileSeconds = histogram(
      "controller_runtime_reconcile_time_seconds",
      "Time of a reconcile.",
      RECONCILE_BOUNDS,
      "controller",
    );
    this.#maxConcurrent = gauge(
      "controller_runtime_max_concurrent_reconciles",
      "Configured workers.",
      "controller",
    );
    this.#activeWorkers = gauge("controller_runtime_active_workers", "Busy workers.", "controller");
    this.#leader = gauge("leader_election_master_status", "1 while this process leads.", "name");
    this.#leaderTerm = gauge("leader_election_term", "leaseTransitions of the term held last.", "name");
    this.#lists = counter("reflector_lists_total", "Lists by reason and way.", "resource", "reason");
    this.#watches = counter("reflector_watches_total", "Watches opened.", "resource");
    this.#watchErrors = counter(
      "reflector_errors_total",
      "Failed lists and watches by error code.",
      "resource",
      "code",
    );
    this.#storeVersion = gauge("store_resource_version", "Newest resourceVersion seen.", "resource");
    this.#storeObjects = gauge("store_objects", "Objects in the cache.", "resource");
    this.#lastEvent = gauge(
      "reflector_last_activity_timestamp_seconds",
      "When the API server last said anything about the resource; its age is the cache's staleness.",
      "resource",
    );
    this.#handlerErrors = counter(
      "informer_handler_errors_total",
      "Event handlers that threw.",
      "resource",
      "handler",
    );
    this.#auditMisses = counter(
      "informer_audit_misses_total",
      "Differences between cache and API server that an audit found; 0 or there is a defect.",
      "resource",
    );
    this.#events = counter("event_recorder_events_total", "Events by outcome.", "outcome");
    this.#exportQueues(gauge, counter);
  }

  /** The counts of one queue. The same object for the same name. */
  queue(name: string): QueueMetrics {
    let metrics = this.#queues.get(name);
    if (metrics === undefined) {
      metrics = new QueueMetrics();
      this.#queues.set(name, metrics);
    }
    return metrics;
  }

  requestDone(
    code: string,
    method: string,
    host: string,
    seconds: number,
    bodyBytes: number | undefined,
  ): void {
    this.#requests.inc({ code, method, host });
    this.#requestSeconds.observe({ method, host }, seconds);
    if (bodyBytes !== undefined) {
      this.#requestBytes.observe({ method, host }, bodyBytes);
    }
  }

  requestRetried(code: number | undefined, method: string, host: string): void {
    this.#requestRetries.inc({ code: String(code ?? "<error>"), method, host });
  }

  responseRead(method: string, host: string, bytes: number): void {
    this.#responseBytes.observe({ method, host }, bytes);
  }

  /** Creates a controller's series at zero, so that a first failure shows as an increase. */
  controllerStarted(controller: string, workers: number): void {
    for (const result of ["success", "error", "requeue", "requeue_after"] as const) {
      this.#reconciles.inc({ controller, result }, 0);
    }
    for (const counter of [this.#reconcileErrors, this.#terminalErrors, this.#panics, this.#timeouts]) {
      counter.inc({ controller }, 0);
    }
    this.#maxConcurrent.set({ controller }, workers);
    this.#activeWorkers.set({ controller }, 0);
  }

  reconcileStarted(controller: string): void {
    this.#activeWorkers.inc({ controller });
  }

  reconcileDone(controller: string, result: ReconcileResult, seconds: number): void {
    this.#activeWorkers.dec({ controller });
    this.#reconciles.inc({ controller, result });
    this.#reconcileSeconds.observe({ controller }, seconds);
  }

  reconcileFailed(controller: string, kind: "error" | "terminal" | "panic" | "timeout"): void {
    this.#reconcileErrors.inc({ controller });
    if (kind === "terminal") {
      this.#terminalErrors.inc({ controller });
    } else if (kind === "panic") {
      this.#panics.inc({ controller });
    } else if (kind === "timeout") {
      this.#timeouts.inc({ controller });
    }
  }

  leading(name: string, isLeader: boolean, term: number): void {
    this.#leader.set({ name }, isLeader ? 1 : 0);
    this.#leaderTerm.set({ name }, term);
  }

  listed(resource: string, reason: string): void {
    this.#lists.inc({ resource, reason });
  }

  watching(resource: string): void {
    this.#watches.inc({ resource });
  }

  reflectorFailed(resource: string, code: string): void {
    this.#watchErrors.inc({ resource, code });
  }

  stored(resource: string, resourceVersion: string, objects: number, nowMs: number): void {
    this.#storeVersion.set({ resource }, Number(resourceVersion) || 0);
    this.#storeObjects.set({ resource }, objects);
    this.#lastEvent.set({ resource }, nowMs / 1000);
  }

  handlerFailed(resource: string, handler: string): void {
    this.#handlerErrors.inc({ resource, handler });
  }

  /** @param misses may be 0, which creates the series */
  audited(resource: string, misses: number): void {
    this.#auditMisses.inc({ resource }, misses);
  }

  event(outcome: "created" | "updated" | "dropped" | "failed"): void {
    this.#events.inc({ outcome });
  }

  #exportQueues(
    gauge: <L extends string>(name: string, help: string, ...labels: L[]) => Gauge<L>,
    counter: <L extends string>(name: string, help: string, ...labels: L[]) => Counter<L>,
  ): void {
    const queues = this.#queues;
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
    exportBuckets(this.registry, "workqueue_queue_duration_seconds", "Time from add to get.", () =>
      series((queue) => queue.queueSeconds),
    );
    exportBuckets(this.registry, "workqueue_work_duration_seconds", "Time from get to done.", () =>
      series((queue) => queue.workSeconds),
    );
  }
}
