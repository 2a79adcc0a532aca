/**
 * Which packets pass between guest, launcher and pod network under the bridge binding. Pure, stateless: no connection
 * tracking, whose table a guest could fill.
 */
import { parseIpv6 } from "../../lib/ipv6.ts";
import { ACCEPT, type Chain, DROP, dispatch, type Rule, refused } from "./ruleset.ts";

export interface GuardedInterface {
  readonly uplink: string;
  readonly tap: string;
  readonly bridge: string;
  readonly bridgeMac: string;
  /** Without prefix length. */
  readonly bridgeAddress: string;
  readonly guestMac: string;
  readonly guestAddress: string;
  /** IPv6 addresses that the guest may send from; no IPv6 passes where there is none. */
  readonly guestAddresses6: readonly string[];
  /** The guest may send what it likes: it is a router, or a bridge for others. */
  readonly isUnguarded: boolean;
}

/** DHCP and DHCPv6, servers and clients. */
const DHCP_PORTS = "{ 67, 68, 546, 547 }";

/** The guard's chains for one bridged interface. */
export function guardChains(guarded: GuardedInterface): readonly Chain[] {
  const { tap, uplink, bridge } = guarded;
  return [
    bridgeHook("prerouting", [
      dispatch("iifname", tap, `from-${tap}`),
      dispatch("iifname", uplink, `from-${uplink}`),
    ]),
    bridgeHook("postrouting", [dispatch("oifname", uplink, `to-${uplink}`)]),
    fromGuest(guarded),
    fromUplink(guarded),
    toUplink(guarded),
    inputHook([dispatch("iifname", bridge, `from-${bridge}`)]),
    toLauncher(guarded),
  ];
}

/** Before the bridge decides where a frame goes, and after. */
export function bridgeHook(name: "prerouting" | "postrouting", rules: readonly Rule[]): Chain {
  return { family: "bridge", name, hook: { type: "filter", name, priority: -200 }, rules };
}

/** What the pod's own sockets are given. */
export function inputHook(rules: readonly Rule[]): Chain {
  return { family: "ip", name: "input", hook: { type: "filter", name: "input", priority: 0 }, rules };
}

type OwnFrames = Pick<GuardedInterface, "tap" | "guestMac" | "guestAddress">;

/** Of frames and ARP the guest sends only what is its own; these rules come first of all for it. */
export function ownFrameRules({ tap, guestMac, guestAddress }: OwnFrames): readonly Rule[] {
  return [
    refused(tap, `ether saddr != ${guestMac}`, "foreign-mac"),
    // The kernel takes the tag off before these hooks, and the IPv4 rules below would match what is inside.
    refused(tap, "ether type { 0x8100, 0x88a8, 0x9100 }", "vlan"),
    {
      rule:
        `arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 arp saddr ether ${guestMac} ` +
        `arp saddr ip { ${guestAddress}, 0.0.0.0 } ${ACCEPT}`,
      comment: "arp",
    },
    refused(tap, "ether type arp", "foreign-arp"),
    {
      rule: `ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 ${ACCEPT}`,
      comment: "dhcp",
    },
  ];
}

/** The guest sends from its own MAC and addresses only: IPv4, ARP, and IPv6 where the pod has it. */
function fromGuest(guarded: GuardedInterface): Chain {
  const { tap, guestAddress, isUnguarded } = guarded;
  const rules = isUnguarded
    ? [toLauncherRule(guarded)]
    : [
        ...ownFrameRules(guarded),
        // It would not get past the uplink; that it tries is worth telling.
        refused(tap, "udp sport { 67, 547 } udp dport { 68, 546 }", "dhcp-server"),
        toLauncherRule(guarded),
        { rule: `ip saddr ${guestAddress} ${ACCEPT}`, comment: "own-address" },
        refused(tap, "ether type ip", "foreign-address"),
        // RFC 8415: it is a client, and has no server on this side.
        { rule: `udp dport 547 ${DROP}`, comment: "dhcp6" },
        ...ipv6Rules(guarded),
        refused(tap, "", "other-protocol"),
      ];
  return { family: "bridge", name: `from-${tap}`, rules };
}

/**
 * The guest holds the launcher's address for off-link, so unicasts to it (renewals) carry its gateway's MAC. The packet
 * type must follow, because the frame came in as one for another host.
 */
function toLauncherRule({ guestAddress, bridgeAddress, bridgeMac }: GuardedInterface): Rule {
  return {
    rule:
      `ip saddr ${guestAddress} ip daddr ${bridgeAddress} ` +
      `ether daddr set ${bridgeMac} meta pkttype set host ${ACCEPT}`,
    comment: "to-launcher",
  };
}

type OwnAddresses6 = Pick<GuardedInterface, "tap" | "guestAddresses6">;

/** RFC 4861's neighbour discovery has no more of an address's owner than the address: that is what is checked. */
export function ipv6Rules({ tap, guestAddresses6 }: OwnAddresses6): readonly Rule[] {
  // Every guest tries; nothing is worth telling of it.
  if (guestAddresses6.length === 0) return [{ rule: `ether type ip6 ${DROP}`, comment: "ipv6" }];
  const own = `{ ${guestAddresses6.join(", ")} }`;
  // nft(8) has no word for the target before 1.0.9: 16 octets after the first 8 of the message, in both kinds.
  const target = "@th,64,128";
  const ownTargets = `{ ${guestAddresses6.map(asNumber).join(", ")} }`;
  return [
    refused(tap, "icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query }", "router"),
    // What ICMPv6 says in fragments is not seen here (RFC 6980, RFC 7113); the rest of a datagram may come in several.
    {
      rule: `exthdr frag exists meta l4proto { tcp, udp } ip6 saddr ${own} ${ACCEPT}`,
      comment: "own-fragment",
    },
    refused(tap, "exthdr frag exists", "fragment"),
    refused(tap, `icmpv6 type nd-neighbor-advert ${target} != ${ownTargets}`, "foreign-nd"),
    // Before it has an address, it looks whether someone else does (RFC 4862 section 5.4), and for routers and groups.
    {
      rule: `ip6 saddr :: icmpv6 type nd-neighbor-solicit ${target} ${ownTargets} ${ACCEPT}`,
      comment: "own-dad",
    },
    { rule: `ip6 saddr :: icmpv6 type nd-router-solicit ${ACCEPT}`, comment: "router-solicit" },
    { rule: `ip6 saddr :: ip6 daddr ff02::16 icmpv6 type mld2-listener-report ${ACCEPT}`, comment: "mld" },
    { rule: `ip6 saddr ${own} ${ACCEPT}`, comment: "own-address6" },
    refused(tap, "ether type ip6", "foreign-address6"),
  ];
}

function asNumber(address: string): string {
  return `0x${Buffer.from(parseIpv6(address) ?? []).toString("hex")}`;
}

/** Nobody but the guest sees the launcher's side, and no other DHCP server the guest. */
function fromUplink({ uplink, bridgeAddress, bridgeMac, ...guarded }: GuardedInterface): Chain {
  const passesIpv6 = guarded.isUnguarded || guarded.guestAddresses6.length > 0;
  return {
    family: "bridge",
    name: `from-${uplink}`,
    rules: [
      { rule: `udp dport ${DHCP_PORTS} ${DROP}`, comment: "dhcp" },
      { rule: `ether daddr ${bridgeMac} ${DROP}`, comment: "launcher-mac" },
      { rule: `ip daddr ${bridgeAddress} ${DROP}`, comment: "launcher-address" },
      { rule: `arp daddr ip ${bridgeAddress} ${DROP}`, comment: "launcher-arp" },
      // A guest that can't send IPv6 would be made believe otherwise by router advertisements.
      ...(passesIpv6 ? [] : [{ rule: `ether type ip6 ${DROP}`, comment: "ipv6" }]),
    ],
  };
}

/** Only the guest's own frames leave the pod, or those behind it, and none of the launcher's. */
function toUplink({ uplink, guestMac, bridgeMac, bridgeAddress, isUnguarded }: GuardedInterface): Chain {
  return {
    family: "bridge",
    name: `to-${uplink}`,
    rules: [
      isUnguarded
        ? { rule: `ether saddr ${bridgeMac} ${DROP}`, comment: "launcher-mac" }
        : { rule: `ether saddr != ${guestMac} ${DROP}`, comment: "not-the-guest" },
      { rule: `udp dport ${DHCP_PORTS} ${DROP}`, comment: "dhcp" },
      { rule: `ip daddr ${bridgeAddress} ${DROP}`, comment: "launcher-address" },
      { rule: `arp daddr ip ${bridgeAddress} ${DROP}`, comment: "launcher-arp" },
    ],
  };
}

/** Of the launcher's namespace the guest reaches DHCP; connections are opened by the launcher only. */
function toLauncher({ bridge, bridgeAddress }: GuardedInterface): Chain {
  return {
    family: "ip",
    name: `from-${bridge}`,
    rules: [
      {
        rule: `ip daddr { 255.255.255.255, ${bridgeAddress} } udp sport 68 udp dport 67 ${ACCEPT}`,
        comment: "dhcp",
      },
      // A segment with SYN and without ACK opens a connection, whatever other flags it carries.
      { rule: `ip daddr ${bridgeAddress} tcp flags & (syn | ack) != syn ${ACCEPT}`, comment: "tcp-reply" },
      { rule: DROP, comment: "other" },
    ],
  };
}
