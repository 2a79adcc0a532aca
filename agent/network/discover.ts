/** Finds a pod's interface as the CNI plugin left it. Pure. */
import type { PodInterface } from "../../api/pod-interface.ts";
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import { parseIpv4Cidr } from "../../lib/cidr.ts";
import { NetworkError } from "./errors.ts";
import { namesFor } from "./link-names.ts";
import type { Observed } from "./observed.ts";

/** A pod's interface, and the number that stays with it when it is renamed. */
export interface DiscoveredInterface {
  readonly index: number;
  readonly podInterface: PodInterface;
}

/** Of a link without Ethernet, which only masquerade takes. */
const NO_MAC = "00:00:00:00:00:00";

/**
 * @throws NetworkError NoSuchInterface, LayerThreeInterface, NoIPv4Address, or StateLost when the namespace has been
 * wired already, so that what stands under the name is not the pod's interface any more.
 */
export function discoverInterface(
  observed: Observed,
  podUid: string,
  name: string,
  binding: AnnouncedInterface["binding"] = "bridge",
): DiscoveredInterface {
  const who = `pod ${podUid}, interface ${name}`;
  const link = observed.links.find((candidate) => candidate.name === name);
  const names = namesFor(name);
  // Masquerade leaves the pod's interface as it was, so what stands there can be taken for it again.
  const lost = binding === "bridge" ? [names.uplink, names.bridge] : [names.uplink];
  if (observed.links.some((other) => lost.includes(other.name))) {
    throw new NetworkError(
      "StateLost",
      `${who}: was wired before, but the record of its addresses is gone; delete the pod`,
    );
  }
  if (link === undefined) {
    const present = observed.links.map((other) => other.name).join(", ");
    throw new NetworkError("NoSuchInterface", `${who}: the pod has no such interface, only ${present}`);
  }
  const hasEthernet = !link.isLoopback && link.hasArp && link.macAddress !== undefined;
  if (!hasEthernet && (binding === "bridge" || link.isLoopback)) {
    throw new NetworkError(
      "LayerThreeInterface",
      `${who}: has no Ethernet (NOARP or no MAC address), and the bridge binding needs it; use masquerade`,
    );
  }
  const global = link.addresses.filter(({ isGlobal }) => isGlobal);
  const addresses = global.map(({ cidr }) => cidr);
  const advertised = global.filter(({ isAdvertised }) => isAdvertised).map(({ cidr }) => cidr);
  // An Ethernet without any address is a wire that can be bridged; what speaks IPv6 alone can't be handed over.
  const isWire = addresses.length === 0 && binding === "bridge";
  if (!isWire && !addresses.some((cidr) => parseIpv4Cidr(cidr) !== undefined)) {
    throw new NetworkError("NoIPv4Address", `${who}: has no IPv4 address that the guest could be given`);
  }
  return {
    index: link.index,
    podInterface: {
      name,
      macAddress: link.macAddress ?? NO_MAC,
      mtu: link.mtu,
      addresses,
      ...(advertised.length === 0 ? {} : { advertised }),
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
