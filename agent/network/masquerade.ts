/**
 * Which packets pass between guest, launcher and pod network under the masquerade binding, and how they are rewritten.
 * Pure. This needs connection tracking, which no other binding has: so it stands only where the guest asked for it.
 */
import type { ForwardedPort } from "../../api/uplink-protocol.ts";
import { bridgeHook, ipv6Rules, ownFrameRules } from "./guard.ts";
import { ACCEPT, type Chain, DROP, dispatch, type Rule, refused } from "./ruleset.ts";

export interface MasqueradedInterface {
  /** The pod's interface, `eth0`. */
  readonly podLink: string;
  readonly tap: string;
  readonly bridge: string;
  readonly guestMac: string;
  /** The guest's own link-local address, where it has IPv6. */
  readonly guestLinkLocal: string;
  readonly ipv4: MasqueradedFamily;
  /** Where the pod has it. */
  readonly ipv6?: MasqueradedFamily;
  /** What is passed to the guest; everything when none is listed. */
  readonly ports: readonly ForwardedPort[];
}

/** Of one version of IP; addresses without prefix lengths. */
export interface MasqueradedFamily {
  /** The guest's packets leave with the first. */
  readonly podAddresses: readonly [string, ...string[]];
  readonly gateway: string;
  readonly guestAddress: string;
}

/** The interface in one version of IP. */
interface Side extends Omit<MasqueradedInterface, "ipv4" | "ipv6">, MasqueradedFamily {
  readonly family: "ip" | "ip6";
  /** Addresses of the pod's loopback that lead to the guest; the kernel routes none of IPv6's. */
  readonly loopback: readonly string[];
}

/** NF_IP_PRI_NAT_DST and _SRC. */
const NAT_DESTINATION = -100;
const NAT_SOURCE = 100;

/** The chains for one such interface; a pod has one at most, because it has one network of its own. */
export function masqueradeChains(own: MasqueradedInterface): readonly Chain[] {
  const { ipv4, ipv6, ...common } = own;
  return [
    bridgeHook("prerouting", [dispatch("iifname", own.tap, `from-${own.tap}`)]),
    fromGuest(own),
    ...sideChains({ ...common, ...ipv4, family: "ip", loopback: ["127.0.0.1"] }),
    ...(ipv6 === undefined ? [] : sideChains({ ...common, ...ipv6, family: "ip6", loopback: [] })),
  ];
}

function sideChains(side: Side): readonly Chain[] {
  const { family, bridge, podLink } = side;
  const dhcpPort = family === "ip" ? 67 : 547;
  const filter = (name: "input" | "forward", rules: readonly Rule[]): Chain => {
    return { family, name, hook: { type: "filter", name, priority: 0 }, rules };
  };
  return [
    filter("input", [
      dispatch("iifname", bridge, `from-${bridge}`),
      // The launcher's server hears every link; what it serves is on its bridge.
      { rule: `iifname "${podLink}" udp dport ${dhcpPort} ${DROP}`, comment: "dhcp" },
    ]),
    toLauncher(side),
    filter("forward", [
      dispatch("iifname", bridge, "out"),
      dispatch("oifname", bridge, "in"),
      // The pod is no router between its own network and its others. With br_netfilter their bridged frames pass here too.
      { rule: `iifname "${podLink}" ${DROP}`, comment: "from-pod-network" },
      { rule: `oifname "${podLink}" ${DROP}`, comment: "to-pod-network" },
    ]),
    outward(side),
    inward(side),
    nat(family, "prerouting", NAT_DESTINATION, arriving(side)),
    nat(family, "output", NAT_DESTINATION, fromPod(side)),
    nat(family, "postrouting", NAT_SOURCE, leaving(side)),
  ];
}

function nat(
  family: Side["family"],
  name: "prerouting" | "output" | "postrouting",
  priority: number,
  rules: readonly Rule[],
): Chain {
  return { family, name: `nat-${name}`, hook: { type: "nat", name, priority }, rules };
}

function fromGuest(own: MasqueradedInterface): Chain {
  return {
    family: "bridge",
    name: `from-${own.tap}`,
    rules: [
      ...ownFrameRules({ tap: own.tap, guestMac: own.guestMac, guestAddress: own.ipv4.guestAddress }),
      // The bridge routes to 127.0.0.1 for the sake of the replies; the pod's own services are none of the guest's.
      refused(own.tap, "ip daddr 127.0.0.0/8", "loopback"),
      { rule: `ip saddr ${own.ipv4.guestAddress} ${ACCEPT}`, comment: "own-address" },
      refused(own.tap, "ether type ip", "foreign-address"),
      ...ipv6Rules({
        tap: own.tap,
        guestAddresses6: own.ipv6 === undefined ? [] : [own.ipv6.guestAddress, own.guestLinkLocal],
      }),
      refused(own.tap, "", "other-protocol"),
    ],
  };
}

/** Of the pod itself the guest reaches DHCP and ping of its gateway; connections are opened from the pod only. */
function toLauncher({ family, bridge, gateway }: Side): Chain {
  const served =
    family === "ip"
      ? [
          {
            rule: `ip daddr { 255.255.255.255, ${gateway} } udp sport 68 udp dport 67 ${ACCEPT}`,
            comment: "dhcp",
          },
          { rule: `ip daddr ${gateway} icmp type echo-request ${ACCEPT}`, comment: "ping" },
        ]
      : [
          { rule: `ip6 daddr ff02::1:2 udp sport 546 udp dport 547 ${ACCEPT}`, comment: "dhcp" },
          {
            rule: `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ${ACCEPT}`,
            comment: "neighbours",
          },
          { rule: `ip6 daddr ${gateway} icmpv6 type echo-request ${ACCEPT}`, comment: "ping" },
        ];
  return {
    family,
    name: `from-${bridge}`,
    rules: [
      ...served,
      { rule: `ct state established,related ${ACCEPT}`, comment: "reply" },
      { rule: DROP, comment: "other" },
    ],
  };
}

/** The guest reaches the pod network, and itself by the pod's address, but no other link that the pod may have. */
function outward({ family, podLink, bridge }: Side): Chain {
  return {
    family,
    name: "out",
    rules: [
      // What belongs to no connection is not rewritten: it would leave with the guest's own address.
      { rule: `ct state invalid ${DROP}`, comment: "invalid" },
      { rule: `oifname "${podLink}" ${ACCEPT}`, comment: "pod-network" },
      { rule: `oifname "${bridge}" ct status dnat ${ACCEPT}`, comment: "itself" },
      { rule: DROP, comment: "other" },
    ],
  };
}

/** Whoever knows the guest's subnet could route to it past the pod's address and its list of ports. */
function inward({ family }: Side): Chain {
  return {
    family,
    name: "in",
    rules: [
      { rule: `ct state invalid ${DROP}`, comment: "invalid" },
      { rule: `ct state established,related ${ACCEPT}`, comment: "reply" },
      { rule: `ct status dnat ${ACCEPT}`, comment: "forwarded" },
      { rule: DROP, comment: "not-forwarded" },
    ],
  };
}

/** From the pod network, and from the guest to its own pod. */
function arriving(own: Side): readonly Rule[] {
  const { family, podLink, bridge, podAddresses } = own;
  const where = `iifname { "${podLink}", "${bridge}" } ${family} daddr { ${podAddresses.join(", ")} }`;
  return own.ports.length === 0 ? [toGuest(own, where, "all")] : listedPorts(own, where);
}

/** The pod's own connections to itself: `kubectl port-forward` and the like dial 127.0.0.1 in its namespace. */
function fromPod(own: Side): readonly Rule[] {
  const where = `${own.family} daddr { ${[...own.loopback, ...own.podAddresses].join(", ")} }`;
  if (own.ports.length > 0) return listedPorts(own, where);
  return [toGuest(own, `${where} meta l4proto { tcp, udp }`, "all")];
}

function leaving(own: Side): readonly Rule[] {
  const { family, podLink, podAddresses, bridge, gateway, guestAddress, loopback } = own;
  const inside = [...loopback, guestAddress].join(", ");
  return [
    {
      rule: `oifname "${podLink}" ${family} saddr ${guestAddress} counter snat to ${podAddresses[0]}`,
      comment: "from-guest",
    },
    // So that the answers come back here: the guest would keep the one, and drop the other.
    {
      rule: `oifname "${bridge}" ${family} saddr { ${inside} } counter snat to ${gateway}`,
      comment: "loopback",
    },
  ];
}

function listedPorts(own: Side, where: string): readonly Rule[] {
  return (["tcp", "udp"] as const).flatMap((protocol) => {
    const listed = own.ports.filter((port) => port.protocol.toLowerCase() === protocol);
    const ports = [...new Set(listed.map(({ port }) => port))].toSorted((a, b) => a - b);
    return ports.length === 0
      ? []
      : [toGuest(own, `${where} ${protocol} dport { ${ports.join(", ")} }`, protocol)];
  });
}

function toGuest({ guestAddress }: Side, where: string, comment: string): Rule {
  return { rule: `${where} counter dnat to ${guestAddress}`, comment };
}
