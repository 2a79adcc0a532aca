import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { exportQueues, QueueMetrics } from "./queue-metrics.ts";

const REQUEST_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
const LOOKUP_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30];
const SIZE_BOUNDS = [64, 256, 512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];
const RECONCILE_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

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
  readonly #lookupSeconds;
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
      "verb",
      "host",
    );
    this.#requestRetries = counter(
      "rest_client_request_retries_total",
      "Requests sent again.",
      "code",
      "verb",
      "host",
    );
    this.#requestBytes = histogram(
      "rest_client_request_size_bytes",
      "Sizes sent.",
      SIZE_BOUNDS,
      "verb",
      "host",
    );
    this.#responseBytes = histogram(
      "rest_client_response_size_bytes",
      "Sizes received.",
      SIZE_BOUNDS,
      "verb",
      "host",
    );
    this.#lookupSeconds = histogram(
      "rest_client_dns_resolution_duration_seconds",
      "Time to look up the server's name.",
      LOOKUP_BOUNDS,
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
    exportQueues(registry, this.#queues);
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
    this.#requestSeconds.observe({ verb: method, host }, seconds);
    if (bodyBytes !== undefined) {
      this.#requestBytes.observe({ verb: method, host }, bodyBytes);
    }
  }

  requestRetried(code: number | undefined, method: string, host: string): void {
    this.#requestRetries.inc({ code: String(code ?? "<error>"), verb: method, host });
  }

  responseRead(method: string, host: string, bytes: number): void {
    this.#responseBytes.observe({ verb: method, host }, bytes);
  }

  nameLookedUp(host: string, seconds: number): void {
    this.#lookupSeconds.observe({ host }, seconds);
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
}
