/** What a wired pod's network looks like: PodInterface × announcement × index → links, addresses, rules. Pure. */
import { createHash } from "node:crypto";
import { bridgeAddress, LAUNCHER_UID } from "../../api/names.ts";
import type { InterfaceAttachment, PodInterface } from "../../api/pod-interface.ts";
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import { parseIpv4Cidr } from "../../lib/cidr.ts";
import type { DiscoveredInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";
import { type GuardedInterface, guardRules, type Ruleset } from "./guard.ts";
import { namesFor } from "./link-names.ts";

export interface PlannedUplink {
  readonly index: number;
  readonly name: string;
  readonly macAddress: string;
}

export interface PlannedBridge {
  readonly name: string;
  readonly macAddress: string;
  /** CIDR. */
  readonly address: string;
}

export interface PlannedTap {
  readonly name: string;
  readonly user: number;
  readonly multiQueue: boolean;
}

/** Keeps the pod's address for whoever looks (kubelet, CNI plugins at DEL); never up. */
export interface PlannedPlaceholder {
  readonly name: string;
  readonly macAddress: string;
  readonly addresses: readonly string[];
}

export interface PlannedRoute {
  readonly destination: string;
  readonly device: string;
}

export interface PlannedNeighbour {
  readonly address: string;
  readonly macAddress: string;
  readonly device: string;
}

/** A file below /proc/sys; an optional one may not exist. */
export interface PlannedSysctl {
  readonly path: string;
  readonly value: string;
  readonly optional: boolean;
}

export interface InterfacePlan {
  readonly mtu: number;
  /** Without prefix length. */
  readonly guestAddress: string;
  readonly uplink: PlannedUplink;
  readonly bridge: PlannedBridge;
  readonly tap: PlannedTap;
  readonly placeholder: PlannedPlaceholder;
  readonly routes: readonly PlannedRoute[];
  readonly neighbours: readonly PlannedNeighbour[];
  readonly attachment: InterfaceAttachment;
}

export interface NetworkPlan {
  readonly interfaces: readonly InterfacePlan[];
  readonly guard: Ruleset;
  readonly sysctls: readonly PlannedSysctl[];
}

/** An announced interface together with what was found under its name. */
export interface PlannedInput {
  readonly announced: AnnouncedInterface;
  readonly discovered: DiscoveredInterface;
}

export function planNetwork(podUid: string, inputs: readonly PlannedInput[]): NetworkPlan {
  const interfaces = inputs.map((input, index) => planInterface(podUid, input, index));
  return {
    interfaces,
    guard: guardRules(interfaces.map(guarded)),
    sysctls: [...interfaces.flatMap(({ bridge }) => bridgeSysctls(bridge.name)), ...BRIDGE_NETFILTER_OFF],
  };
}

function planInterface(
  podUid: string,
  { announced, discovered }: PlannedInput,
  index: number,
): InterfacePlan {
  const { podInterface } = discovered;
  const names = namesFor(podInterface.name);
  const guestAddress = guestAddressOf(podUid, podInterface);
  const guestMac = (announced.macAddress ?? podInterface.macAddress).toLowerCase();
  const bridge = {
    name: names.bridge,
    macAddress: derivedMac(podUid, podInterface.name, "bridge"),
    address: bridgeAddress(index),
  };
  const tap = { name: `tap${index}`, queues: announced.queues };
  return {
    mtu: podInterface.mtu,
    guestAddress,
    uplink: {
      index: discovered.index,
      name: names.uplink,
      macAddress: derivedMac(podUid, podInterface.name, "uplink"),
    },
    bridge: { ...bridge, address: `${bridge.address}/32` },
    tap: { name: tap.name, user: LAUNCHER_UID, multiQueue: tap.queues > 1 },
    placeholder: {
      name: names.placeholder,
      macAddress: podInterface.macAddress,
      addresses: podInterface.addresses,
    },
    // The launcher reaches its guest by a route and a neighbour that need no ARP, so that an unprivileged DHCP
    // server can unicast to a guest that has no address yet (RFC 2131 section 4.1).
    routes: [{ destination: `${guestAddress}/32`, device: names.bridge }],
    neighbours: [{ address: guestAddress, macAddress: guestMac, device: names.bridge }],
    attachment: { name: announced.name, podInterface, guest: { macAddress: guestMac }, tap, bridge },
  };
}

function guestAddressOf(podUid: string, podInterface: PodInterface): string {
  const cidr = podInterface.addresses.map(parseIpv4Cidr).find((candidate) => candidate !== undefined);
  if (cidr !== undefined) return cidr.address;
  throw new NetworkError(
    "NoIPv4Address",
    `pod ${podUid}, interface ${podInterface.name}: has no IPv4 address that the guest could be given`,
  );
}

/** Locally administered, unicast, and the same each time that the plan is made. */
function derivedMac(podUid: string, podInterface: string, role: string): string {
  const digest = createHash("sha256").update(`${podUid}/${podInterface}/${role}`).digest();
  const octets = [((digest[0] ?? 0) & 0xfc) | 0x02, ...digest.subarray(1, 6)];
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

function guarded({ uplink, tap, guestAddress, attachment }: InterfacePlan): GuardedInterface {
  const { guest, bridge } = attachment;
  return {
    uplink: uplink.name,
    tap: tap.name,
    bridge: bridge.name,
    bridgeMac: bridge.macAddress,
    bridgeAddress: bridge.address,
    guestMac: guest.macAddress,
    guestAddress,
  };
}

function bridgeSysctls(bridge: string): readonly PlannedSysctl[] {
  const path = `net/ipv4/conf/${bridge}`;
  return [
    // The placeholder's address is in the kernel's table of own addresses even though its local route is deleted, and
    // the quick source check (rp_filter 0) takes every packet from the guest for a martian; the full one doesn't.
    { path: `${path}/rp_filter`, value: "1", optional: false },
    // Inherited from the node, where it is on: the launcher's namespace is no router for its guest.
    { path: `${path}/forwarding`, value: "0", optional: false },
  ];
}

/** Bridged frames stay off the IP hooks, where a single rule of someone else's would track every flow of the guest. */
const BRIDGE_NETFILTER_OFF: readonly PlannedSysctl[] = ["iptables", "ip6tables", "arptables"].map((what) => ({
  path: `net/bridge/bridge-nf-call-${what}`,
  value: "0",
  optional: true,
}));
