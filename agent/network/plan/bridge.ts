/** The bridge binding: the guest takes the pod's address, and the pod's link becomes a port of the guest's bridge. */
import { bridgeAddress, LAUNCHER_UID } from "../../../api/names.ts";
import type { PodInterface } from "../../../api/pod-interface.ts";
import type { AnnouncedBridge } from "../../../api/uplink-protocol.ts";
import { parseIpv4, parseIpv4Cidr } from "../../../lib/cidr.ts";
import { eui64Address } from "../../../lib/ipv6.ts";
import type { DiscoveredInterface } from "../discover.ts";
import { guardChains } from "../guard.ts";
import { layerTwoChains } from "../layer-two.ts";
import { namesFor } from "../link-names.ts";
import { derivedMac } from "./mac.ts";
import type { InterfacePlan, PlannedSysctl } from "./types.ts";

/** @param index of the interface among the guest's */
export function planBridge(
  podUid: string,
  announced: AnnouncedBridge,
  discovered: DiscoveredInterface,
  index: number,
): InterfacePlan {
  const { podInterface } = discovered;
  const names = namesFor(podInterface.name);
  const guestMac = (announced.macAddress ?? podInterface.macAddress).toLowerCase();
  const pinned = pinnedNeighbours(podInterface);
  const uplink = {
    name: names.uplink,
    macAddress: derivedMac(podUid, podInterface.name, "uplink"),
    proxyArp: pinned.length > 0,
  };
  const bridge = { name: names.bridge, macAddress: derivedMac(podUid, podInterface.name, "bridge") };
  const tap = { name: `tap${index}`, queues: announced.queues };
  const links = { uplink: uplink.name, tap: tap.name, bridge: bridge.name };
  const isUnguarded = announced.unguarded === true;
  const common = {
    mtu: podInterface.mtu,
    podLink: discovered.index,
    uplink,
    bridge,
    tap: { name: tap.name, user: LAUNCHER_UID, multiQueue: tap.queues > 1 },
    placeholder: {
      name: names.placeholder,
      macAddress: podInterface.macAddress,
      addresses: podInterface.addresses,
    },
    forwarding: [...new Set(pinned.map(({ macAddress }) => macAddress))].map((macAddress) => ({
      macAddress,
      port: uplink.name,
    })),
    sysctls: sysctlsOf(bridge.name),
    attachment: { name: announced.name, podInterface, guest: { macAddress: guestMac }, tap, bridge },
  };
  const pinnedToBridge = pinned.map((neighbour) => ({ ...neighbour, device: bridge.name }));
  const guestAddress = guestAddressOf(podInterface);
  if (guestAddress === undefined) {
    const chains = layerTwoChains({ ...links, guestMac, isUnguarded });
    return { ...common, routes: [], neighbours: pinnedToBridge, chains };
  }
  const launcherAddress = bridgeAddress(index);
  return {
    ...common,
    bridge: { ...bridge, address: `${launcherAddress}/32` },
    // The launcher reaches its guest by a route and a neighbour that need no ARP, so that an unprivileged DHCP
    // server can unicast to a guest that has no address yet (RFC 2131 section 4.1).
    routes: [{ destination: `${guestAddress}/32`, device: names.bridge }],
    neighbours: [{ address: guestAddress, macAddress: guestMac, device: names.bridge }, ...pinnedToBridge],
    chains: guardChains({
      ...links,
      bridgeMac: bridge.macAddress,
      bridgeAddress: launcherAddress,
      guestMac,
      guestAddress,
      guestAddresses6: guestAddresses6Of(podInterface, guestMac),
      isUnguarded,
    }),
    attachment: { ...common.attachment, bridge: { ...bridge, address: launcherAddress } },
  };
}

/**
 * Where a CNI plugin gives the pod its gateway's MAC beforehand (AWS), nobody on the network answers ARP for it. The
 * guest asks, so its bridge has to: it does for permanent neighbours of its own whose MAC it has a port for
 * (br_do_proxy_suppress_arp in the kernel).
 */
function pinnedNeighbours({ neighbours }: PodInterface): PodInterface["neighbours"] {
  return neighbours.filter(({ address }) => parseIpv4(address) !== undefined);
}

function guestAddressOf({ addresses }: PodInterface): string | undefined {
  return addresses.map(parseIpv4Cidr).find((cidr) => cidr !== undefined)?.address;
}

/**
 * The pod's, and those that the guest's MAC makes (RFC 4291 appendix A): the link-local one, and one in each prefix that
 * routers advertise. None for a pod without IPv6.
 */
function guestAddresses6Of(
  { addresses, advertised = [] }: PodInterface,
  guestMac: string,
): readonly string[] {
  const own = addresses.filter((cidr) => cidr.includes(":")).map(withoutPrefixLength);
  if (own.length === 0) return [];
  const prefixes = ["fe80::", ...advertised.map(withoutPrefixLength)];
  return [...new Set([...own, ...prefixes.flatMap((prefix) => eui64Address(prefix, guestMac) ?? [])])];
}

function withoutPrefixLength(cidr: string): string {
  return cidr.split("/", 1).join();
}

function sysctlsOf(bridge: string): readonly PlannedSysctl[] {
  const path = `net/ipv4/conf/${bridge}`;
  return [
    // The placeholder's address is in the kernel's table of own addresses even though its local route is deleted, and
    // the quick source check (rp_filter 0) takes every packet from the guest for a martian; the full one doesn't.
    { path: `${path}/rp_filter`, value: "1", optional: false },
    // Inherited from the node, where it is on: the launcher's namespace is no router for its guest.
    { path: `${path}/forwarding`, value: "0", optional: false },
    // The guest's IPv6 passes by; of the launcher's side there is none. Missing where the kernel has no IPv6.
    { path: `net/ipv6/conf/${bridge}/disable_ipv6`, value: "1", optional: true },
  ];
}
