/** Serves the metrics of nodes and VMIs: measured when they are asked for, by the operator that leads. */
import type { Metric, Registry } from "prom-client";
import type { Logger } from "../../kube/logger.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { FAMILIES, type Family } from "./families.ts";
import { type NodeSample, sampleNode } from "./sample.ts";

export interface MeasuringOptions {
  readonly agents: Agents;
  readonly caches: Pick<Caches, "pods">;
  /** Two that told the same would be counted twice. */
  readonly isLeader: () => boolean;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** One scrape reads each metric once; what is younger than this is the same scrape's, in milliseconds. */
const SCRAPE_MS = 1_000;

export function exportMeasurements(registry: Registry, options: MeasuringOptions): void {
  const { clock = systemClock } = options;
  let latest: { readonly atMs: number; readonly samples: Promise<readonly NodeSample[]> } | undefined;
  const samples = (): Promise<readonly NodeSample[]> => {
    const nowMs = clock.monotonic();
    if (latest === undefined || nowMs - latest.atMs > SCRAPE_MS)
      latest = { atMs: nowMs, samples: measure(options) };
    return latest.samples;
  };
  for (const family of FAMILIES) registry.registerMetric(metricOf(family, samples));
}

function measure({ agents, caches, isLeader, logger }: MeasuringOptions): Promise<readonly NodeSample[]> {
  if (!isLeader()) return Promise.resolve([]);
  return Promise.all(
    [...agents.statusConnections()].map(([node, client]) =>
      sampleNode(node, client, caches, (err) => logger.warn({ node, err }, "an agent could not be measured")),
    ),
  );
}

/** The registry asks a metric for name and get() only; its declared type is the union of prom-client's classes. */
function metricOf({ help, name, read, type }: Family, samples: () => Promise<readonly NodeSample[]>): Metric {
  const metric = {
    name,
    help,
    reset() {},
    async get() {
      return { name, help, type, aggregator: "sum", values: read(await samples()) };
    },
  };
  return metric as unknown as Metric;
}
