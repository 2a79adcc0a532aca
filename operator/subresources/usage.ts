/** What a VMI uses of its node, measured when it is asked for. */
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { OWN_SUBRESOURCES_GROUP } from "../../api/names.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import type { InstanceUsage } from "../../api/usage.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { parseAgentMetrics, parseDomainStatistics } from "../uplink/metrics.ts";
import type { SubresourceHandlers } from "./handler.ts";
import { askLauncher, launcherOf, launcherPath } from "./launcher.ts";
import type { SubresourcePath } from "./path.ts";

export function usageHandlers(caches: Caches, agents: Agents): SubresourceHandlers {
  const answer = async (path: SubresourcePath): Promise<InstanceUsage> => {
    const { nodeName, route } = launcherOf(caches, path);
    const [metrics, domain] = await askLauncher(caches, agents, path, (client) =>
      Promise.all([
        client.request("GET", UPLINK_ROUTES.metrics).then(parseAgentMetrics),
        client
          .request("GET", launcherPath(route, LAUNCHER_ROUTES.statistics))
          .then(parseDomainStatistics, withoutDomain),
      ]),
    );
    const launcher = metrics.launchers.find(({ podUid }) => route.endsWith(`/${podUid}`));
    return {
      nodeName,
      atMs: Date.now(),
      ...(launcher === undefined ? {} : { launcher }),
      ...(domain === undefined ? {} : { domain }),
    };
  };
  return { "virtualmachineinstances/usage": { group: OWN_SUBRESOURCES_GROUP, method: "GET", answer } };
}

/** One that starts or ends has no domain, and a launcher of an earlier version can't be asked. */
function withoutDomain(error: unknown): undefined {
  if (error instanceof RequestError) return undefined;
  throw error;
}
