/** One measurement of every node and of the VMIs on it, asked of agents and launchers when Prometheus asks. */
import type { LauncherMetrics, NodeMetrics } from "../../api/agent-metrics.ts";
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import type { Pod } from "../../kube/resources.ts";
import type { Http2Client } from "../../transport/client.ts";
import { BY_NODE, type Caches, vmiKeyOf } from "../caches.ts";
import { launcherPath } from "../subresources/launcher.ts";
import { parseAgentMetrics, parseDomainStatistics } from "../uplink/metrics.ts";
import { isOver, podFacts } from "../vmi/pod-facts.ts";

export interface NodeSample {
  readonly nodeName: string;
  /** Absent where the agent did not answer in time. */
  readonly node?: NodeMetrics;
  readonly instances: readonly InstanceSample[];
}

export interface InstanceSample {
  readonly namespace: string;
  readonly name: string;
  /** As its cgroups tell, by the agent. */
  readonly launcher?: LauncherMetrics;
  /** As libvirt tells, by the launcher. */
  readonly domain?: DomainStatistics;
}

/** Below Prometheus' scrape timeout of 10 s, in milliseconds. */
const DEADLINE_MS = 3_000;
/** Launchers of one node that are asked at once. */
const CONCURRENCY = 16;

/** @param ask the agent's connection; failures are told to `onError` and leave what could not be measured out */
export async function sampleNode(
  nodeName: string,
  ask: Pick<Http2Client, "request">,
  caches: Pick<Caches, "pods">,
  onError: (error: unknown) => void,
): Promise<NodeSample> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const agent = await ask
    .request("GET", UPLINK_ROUTES.metrics, { signal })
    .then(parseAgentMetrics)
    .catch((error: unknown) => void onError(error));
  const launchers = new Map(agent?.launchers.map((one) => [one.podUid, one]));
  // Pods of this node only: an agent tells of no other's.
  const pods = caches.pods.byIndex(BY_NODE, nodeName).filter(isMeasured);
  const instances = await inTurns(pods, CONCURRENCY, async (pod): Promise<InstanceSample> => {
    const [namespace = "", name = ""] = (vmiKeyOf(pod) ?? "").split("/");
    const launcher = launchers.get(pod.metadata.uid);
    const domain = await ask
      .request("GET", statisticsPath(pod), { signal })
      .then(parseDomainStatistics)
      // One that is starting or on its way down has no domain, and that is no failure.
      .catch(() => undefined);
    return {
      namespace,
      name,
      ...(launcher === undefined ? {} : { launcher }),
      ...(domain === undefined ? {} : { domain }),
    };
  });
  return { nodeName, instances, ...(agent === undefined ? {} : { node: agent.node }) };
}

/** Asked of the pod's agent. */
export function statisticsPath({ metadata }: Pod): string {
  return launcherPath(`${UPLINK_ROUTES.launchers}/${metadata.uid}`, LAUNCHER_ROUTES.statistics);
}

function isMeasured(pod: Pod): boolean {
  const facts = podFacts(pod);
  return vmiKeyOf(pod) !== undefined && facts.isRunning && !isOver(facts);
}

async function inTurns<T, R>(items: readonly T[], width: number, run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next;
      next += 1;
      results[index] = await run(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
