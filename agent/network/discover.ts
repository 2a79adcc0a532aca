/** Finds a pod's interface as the CNI plugin left it. Pure. */
import type { PodInterface } from "../../api/pod-interface.ts";
import { parseIpv4Cidr } from "../../lib/cidr.ts";
import { NetworkError } from "./errors.ts";
import { namesFor } from "./link-names.ts";
import type { Observed } from "./observed.ts";

/** A pod's interface, and the number that stays with it when it is renamed. */
export interface DiscoveredInterface {
  readonly index: number;
  readonly podInterface: PodInterface;
}

/**
 * @throws NetworkError NoSuchInterface, LayerThreeInterface, NoIPv4Address, or StateLost when the namespace has been
 * wired already, so that what stands under the name is not the pod's interface any more.
 */
export function discoverInterface(observed: Observed, podUid: string, name: string): DiscoveredInterface {
  const who = `pod ${podUid}, interface ${name}`;
  const link = observed.links.find((candidate) => candidate.name === name);
  const names = namesFor(name);
  if (observed.links.some((other) => other.name === names.uplink || other.name === names.bridge)) {
    throw new NetworkError(
      "StateLost",
      `${who}: was wired before, but the record of its addresses is gone; delete the pod`,
    );
  }
  if (link === undefined) {
    const present = observed.links.map((other) => other.name).join(", ");
    throw new NetworkError("NoSuchInterface", `${who}: the pod has no such interface, only ${present}`);
  }
  if (link.isLoopback || !link.hasArp || link.macAddress === undefined) {
    throw new NetworkError(
      "LayerThreeInterface",
      `${who}: has no Ethernet (NOARP or no MAC address), and the bridge binding needs it`,
    );
  }
  const addresses = link.addresses.filter(({ isGlobal }) => isGlobal).map(({ cidr }) => cidr);
  if (!addresses.some((cidr) => parseIpv4Cidr(cidr) !== undefined)) {
    throw new NetworkError("NoIPv4Address", `${who}: has no IPv4 address that the guest could be given`);
  }
  return {
    index: link.index,
    podInterface: {
      name,
      macAddress: link.macAddress,
      mtu: link.mtu,
      addresses,
      routes: observed.routes
        .filter((route) => route.device === name && route.table === "main" && !route.isConnected)
        .map(({ destination, gateway, onLink }) => ({
          destination,
          ...(gateway === undefined ? {} : { gateway }),
          ...(onLink ? { onLink } : {}),
        })),
      neighbours: observed.neighbours
        .filter((neighbour) => neighbour.device === name)
        .map(({ address, macAddress }) => ({ address, macAddress })),
    },
  };
}
