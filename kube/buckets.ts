import type { Metric, Registry } from "prom-client";

/** A histogram without labels: two array accesses per observation. */
export class Buckets {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  /** @param bounds ascending upper bounds, inclusive */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length);
  }

  observe(value: number): void {
    this.sum += value;
    this.count += 1;
    const { bounds, counts } = this;
    for (let index = 0; index < bounds.length; index += 1) {
      if (value <= (bounds[index] as number)) {
        counts[index] = (counts[index] as number) + 1;
        return;
      }
    }
  }
}

interface Series {
  readonly labels: Record<string, string>;
  readonly buckets: Buckets;
}

/** Exposes `Buckets` as one histogram of the registry. */
export function exportBuckets(registry: Registry, name: string, help: string, read: () => Series[]): void {
  const metric = {
    name,
    help,
    reset() {},
    async get() {
      return {
        name,
        help,
        type: "histogram",
        aggregator: "sum",
        values: read().flatMap((series) => values(name, series)),
      };
    },
  };
  // The registry asks a metric for name and get() only; its declared type is the union of prom-client's classes.
  registry.registerMetric(metric as unknown as Metric);
}

function values(
  name: string,
  { labels, buckets }: Series,
): { metricName: string; labels: object; value: number }[] {
  let below = 0;
  const lines = buckets.bounds.map((bound, index) => {
    below += buckets.counts[index] ?? 0;
    return { metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: below };
  });
  return [
    ...lines,
    { metricName: `${name}_bucket`, labels: { le: "+Inf", ...labels }, value: buckets.count },
    { metricName: `${name}_sum`, labels, value: buckets.sum },
    { metricName: `${name}_count`, labels, value: buckets.count },
  ];
}
