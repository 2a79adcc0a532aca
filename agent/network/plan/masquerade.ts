/**
 * The masquerade binding: the guest has a subnet of its own behind the pod's address, which stays with the pod's link.
 * What comes for the pod is rewritten to the guest, what the guest sends to the pod.
 */
import { LAUNCHER_UID } from "../../../api/names.ts";
import type { PodInterface } from "../../../api/pod-interface.ts";
import type { AnnouncedMasquerade } from "../../../api/uplink-protocol.ts";
import { type Ipv4Cidr, overlaps, parseIpv4Cidr } from "../../../lib/cidr.ts";
import { type GuestSubnet, guestSubnet } from "../../../lib/guest-subnet.ts";
import type { DiscoveredInterface } from "../discover.ts";
import { NetworkError } from "../errors.ts";
import { namesFor } from "../link-names.ts";
import { masqueradeChains } from "../masquerade.ts";
import type { InterfacePlan, PlannedSysctl } from "./types.ts";

/**
 * KubeVirt's, in every pod the same: a guest that moves keeps its gateway, and Windows knows its network by it.
 */
const GATEWAY_MAC = "02:00:00:00:00:00";

/**
 * @param index of the interface among the guest's
 * @throws NetworkError InvalidInterface, NoIPv4Address, SubnetInUse
 */
export function planMasquerade(
  podUid: string,
  announced: AnnouncedMasquerade,
  discovered: DiscoveredInterface,
  index: number,
): InterfacePlan {
  const { podInterface } = discovered;
  const who = `pod ${podUid}, interface ${podInterface.name}`;
  const subnet = subnetOf(who, announced);
  const podAddresses = podAddressesOf(who, podInterface);
  refuseOverlap(who, podInterface, subnet);
  const guestMac = (announced.macAddress ?? podInterface.macAddress).toLowerCase();
  if (guestMac === GATEWAY_MAC) {
    throw new NetworkError("InvalidInterface", `${who}: ${GATEWAY_MAC} is the MAC of the guest's gateway`);
  }
  const bridge = {
    name: namesFor(podInterface.name).bridge,
    macAddress: GATEWAY_MAC,
    address: subnet.gateway,
  };
  const tap = { name: `tap${index}`, queues: announced.queues };
  return {
    mtu: podInterface.mtu,
    podLink: discovered.index,
    bridge: { ...bridge, address: `${subnet.gateway}/${subnet.prefixLength}` },
    tap: { name: tap.name, user: LAUNCHER_UID, multiQueue: tap.queues > 1 },
    // The subnet's own route comes with the gateway's address.
    routes: [],
    neighbours: [{ address: subnet.guest, macAddress: guestMac, device: bridge.name }],
    chains: masqueradeChains({
      podLink: podInterface.name,
      podAddresses,
      tap: tap.name,
      bridge: bridge.name,
      gateway: subnet.gateway,
      guestMac,
      guestAddress: subnet.guest,
      ports: announced.ports,
    }),
    sysctls: sysctlsOf(podInterface.name, bridge.name),
    attachment: {
      name: announced.name,
      podInterface,
      guest: {
        macAddress: guestMac,
        subnet: { address: `${subnet.guest}/${subnet.prefixLength}`, gateway: subnet.gateway },
      },
      tap,
      bridge,
    },
  };
}

function subnetOf(who: string, { vmNetworkCidr }: AnnouncedMasquerade): GuestSubnet {
  const subnet = guestSubnet(vmNetworkCidr);
  if (subnet !== undefined) return subnet;
  throw new NetworkError("InvalidInterface", `${who}: ${vmNetworkCidr} is no subnet for a guest`);
}

function podAddressesOf(who: string, { addresses }: PodInterface): readonly [string, ...string[]] {
  const [first, ...others] = addresses.flatMap((address) => parseIpv4Cidr(address)?.address ?? []);
  if (first !== undefined) return [first, ...others];
  throw new NetworkError("NoIPv4Address", `${who}: has no IPv4 address for the guest to stand behind`);
}

/** The route to the guest's subnet would win over the one to the pod's own network, or to its gateway. */
function refuseOverlap(who: string, { addresses, routes }: PodInterface, { network }: GuestSubnet): void {
  const own = [...addresses, ...routes.flatMap(({ gateway }) => gateway ?? [])];
  const taken = own.map(parseIpv4Cidr).find((cidr) => cidr !== undefined && overlaps(cidr, network));
  if (taken === undefined) return;
  const text = ({ address, prefixLength }: Ipv4Cidr) => `${address}/${prefixLength}`;
  throw new NetworkError(
    "SubnetInUse",
    `${who}: the guest's subnet ${text(network)} overlaps the pod network's ${text(taken)}; ` +
      "set another one in networks[].pod.vmNetworkCIDR",
  );
}

function sysctlsOf(podLink: string, bridge: string): readonly PlannedSysctl[] {
  const conf = "net/ipv4/conf";
  return [
    // Of these two links only: what else the pod has stays unrouted.
    { path: `${conf}/${podLink}/forwarding`, value: "1", optional: false },
    { path: `${conf}/${bridge}/forwarding`, value: "1", optional: false },
    // Packets from 127.0.0.1, whose destination was rewritten to the guest, may leave by the bridge.
    { path: `${conf}/${bridge}/route_localnet`, value: "1", optional: false },
    { path: `${conf}/${bridge}/rp_filter`, value: "1", optional: false },
    // A guest that connects to itself by the pod's address is sent back where it came from; the kernel would
    // advise it of a shorter way. Both count (ip-sysctl: "all" or the link's).
    { path: `${conf}/all/send_redirects`, value: "0", optional: false },
    { path: `${conf}/${bridge}/send_redirects`, value: "0", optional: false },
    // The pod's side of the bridge has no IPv6.
    { path: `net/ipv6/conf/${bridge}/disable_ipv6`, value: "1", optional: true },
  ];
}
