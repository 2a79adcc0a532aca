/**
 * The masquerade binding: the guest has a subnet of its own behind the pod's address, which stays with the pod's link.
 * What comes for the pod is rewritten to the guest, what the guest sends to the pod.
 */
import { LAUNCHER_UID } from "../../../api/names.ts";
import type { PodInterface } from "../../../api/pod-interface.ts";
import type { AnnouncedMasquerade } from "../../../api/uplink-protocol.ts";
import { type Ipv4Cidr, overlaps, parseIpv4Cidr } from "../../../lib/cidr.ts";
import { type GuestSubnet, guestSubnet } from "../../../lib/guest-subnet.ts";
import { eui64Address, parseIpv6 } from "../../../lib/ipv6.ts";
import type { DiscoveredInterface } from "../discover.ts";
import { NetworkError } from "../errors.ts";
import { namesFor } from "../link-names.ts";
import { masqueradeChains } from "../masquerade.ts";
import type { InterfacePlan, PlannedSysctl } from "./types.ts";

/**
 * KubeVirt's, in every pod the same: a guest that moves keeps its gateway, and Windows knows its network by it.
 */
const GATEWAY_MAC = "02:00:00:00:00:00";

/** KubeVirt's; `router` is the gateway's link-local address, under which it advertises itself. */
const SUBNET6 = {
  gateway: "fd10:0:2::1",
  guest: "fd10:0:2::2",
  prefixLength: 120,
  router: "fe80::1",
} as const;

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
  const podAddresses6 = podAddresses6Of(podInterface);
  return {
    mtu: podInterface.mtu,
    podLink: discovered.index,
    bridge: {
      ...bridge,
      address: `${subnet.gateway}/${subnet.prefixLength}`,
      ...(podAddresses6 === undefined
        ? {}
        : { addresses6: [`${SUBNET6.gateway}/${SUBNET6.prefixLength}`, `${SUBNET6.router}/64`] }),
    },
    tap: { name: tap.name, user: LAUNCHER_UID, multiQueue: tap.queues > 1 },
    // The subnet's own route comes with the gateway's address.
    routes: [],
    neighbours: [{ address: subnet.guest, macAddress: guestMac, device: bridge.name }],
    forwarding: [],
    chains: masqueradeChains({
      podLink: podInterface.name,
      tap: tap.name,
      bridge: bridge.name,
      guestMac,
      guestLinkLocal: eui64Address("fe80::", guestMac) ?? "::",
      ipv4: { podAddresses, gateway: subnet.gateway, guestAddress: subnet.guest },
      ...(podAddresses6 === undefined
        ? {}
        : { ipv6: { podAddresses: podAddresses6, gateway: SUBNET6.gateway, guestAddress: SUBNET6.guest } }),
      ports: announced.ports,
    }),
    sysctls: [
      ...sysctlsOf(podInterface.name, bridge.name),
      ...sysctls6Of(podInterface, bridge.name, podAddresses6 !== undefined),
    ],
    attachment: {
      name: announced.name,
      podInterface,
      guest: {
        macAddress: guestMac,
        subnet: { address: `${subnet.guest}/${subnet.prefixLength}`, gateway: subnet.gateway },
        ...(podAddresses6 === undefined
          ? {}
          : { subnet6: { address: `${SUBNET6.guest}/${SUBNET6.prefixLength}`, gateway: SUBNET6.router } }),
      },
      tap,
      bridge,
    },
  };
}

/** The pod's IPv6 addresses; undefined where it has none, or one in the guest's own subnet, which then can't be. */
function podAddresses6Of({ addresses }: PodInterface): readonly [string, ...string[]] | undefined {
  const own = addresses.filter((cidr) => cidr.includes(":")).map((cidr) => cidr.split("/", 1).join());
  const [first, ...others] = own;
  return first === undefined || own.some(isInSubnet6) ? undefined : [first, ...others];
}

function isInSubnet6(address: string): boolean {
  const prefix = (text: string) =>
    parseIpv6(text)
      ?.subarray(0, SUBNET6.prefixLength / 8)
      .join();
  return prefix(address) === prefix(SUBNET6.gateway);
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
  ];
}

function sysctls6Of(
  { name, advertised }: PodInterface,
  bridge: string,
  hasIpv6: boolean,
): readonly PlannedSysctl[] {
  const conf = "net/ipv6/conf";
  if (!hasIpv6) return [{ path: `${conf}/${bridge}/disable_ipv6`, value: "1", optional: true }];
  // A router listens to other routers only when told so (accept_ra 2), and forgets what it heard when it becomes one.
  const listen = [{ path: `${conf}/${name}/accept_ra`, value: "2", optional: false }];
  return [
    ...(advertised === undefined ? [] : listen),
    // The kernel forwards IPv6 for all links or none; the rules let only these two through.
    { path: `${conf}/all/forwarding`, value: "1", optional: false },
  ];
}
