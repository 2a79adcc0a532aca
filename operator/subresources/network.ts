/** A guest's network for the person who debugs it: links and guard as the agent sees them, leases as the launcher does. */
import { LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import { OWN_SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { DhcpState, NetworkPath } from "../../api/network-path.ts";
import { NETWORK_ROUTE } from "../../api/uplink-protocol.ts";
import { RequestError } from "../../transport/errors.ts";
import type { Caches } from "../caches.ts";
import type { Agents } from "../uplink/agents.ts";
import { parseDhcpState, parseWiredPath } from "../uplink/network-path.ts";
import type { SubresourceHandlers } from "./handler.ts";
import { askLauncher, launcherPath } from "./launcher.ts";
import type { SubresourcePath } from "./path.ts";

const NO_DHCP: DhcpState = { leases: {}, counters: {} };

export function networkHandlers(caches: Caches, agents: Agents): SubresourceHandlers {
  const answer = async (path: SubresourcePath): Promise<NetworkPath> => {
    const [wired, dhcp] = await askLauncher(caches, agents, path, (client, route) =>
      Promise.all([
        client.request("GET", `${route}/${NETWORK_ROUTE}`).then(parseWiredPath),
        client.request("GET", launcherPath(route, LAUNCHER_ROUTES.dhcp)).then(parseDhcpState, withoutDhcp),
      ]),
    );
    const { counters, leases } = dhcp;
    return {
      interfaces: wired.interfaces.map((one) => {
        const lease = leases[one.name];
        return lease === undefined ? one : { ...one, lease };
      }),
      differences: wired.differences,
      dhcpCounters: counters,
    };
  };
  return { "virtualmachineinstances/network": { group: OWN_SUBRESOURCES_GROUP, method: "GET", answer } };
}

/** A launcher or an agent of an earlier version can't be asked, and is no reason to show nothing. */
function withoutDhcp(error: unknown): DhcpState {
  if (error instanceof RequestError && error.status === 404) return NO_DHCP;
  throw error;
}
