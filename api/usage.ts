/** What a VMI uses of its node: the answer to the subresource `usage` of group subresources.virtpod.io. */
import type { LauncherMetrics } from "./agent-metrics.ts";
import type { DomainStatistics } from "./domain-statistics.ts";

/** Counters are since the launcher's start: whoever wants a rate asks twice. */
export interface InstanceUsage {
  readonly nodeName: string;
  /** When it was measured, in milliseconds since the epoch. */
  readonly atMs: number;
  /** As the launcher's cgroups tell; absent while the agent has not found them. */
  readonly launcher?: LauncherMetrics;
  /** As libvirt tells; absent while there is no domain. */
  readonly domain?: DomainStatistics;
}
