/**
 * Which packets pass between guest, launcher and pod network under the masquerade binding, and how they are rewritten.
 * Pure. This needs connection tracking, which no other binding has: so it stands only where the guest asked for it.
 */
import type { ForwardedPort } from "../../api/uplink-protocol.ts";
import { bridgeHook, inputHook, ownFrameRules } from "./guard.ts";
import { ACCEPT, type Chain, DROP, dispatch, type Rule, refused } from "./ruleset.ts";

export interface MasqueradedInterface {
  /** The pod's interface, `eth0`. */
  readonly podLink: string;
  /** Without prefix lengths; the guest's packets leave with the first. */
  readonly podAddresses: readonly [string, ...string[]];
  readonly tap: string;
  readonly bridge: string;
  readonly gateway: string;
  readonly guestMac: string;
  readonly guestAddress: string;
  /** What is passed to the guest; everything when none is listed. */
  readonly ports: readonly ForwardedPort[];
}

const LOOPBACK = "127.0.0.1";
/** NF_IP_PRI_NAT_DST and _SRC. */
const NAT_DESTINATION = -100;
const NAT_SOURCE = 100;

/** The chains for one such interface; a pod has one at most, because it has one network of its own. */
export function masqueradeChains(own: MasqueradedInterface): readonly Chain[] {
  const { tap, bridge } = own;
  return [
    bridgeHook("prerouting", [dispatch("iifname", tap, `from-${tap}`)]),
    fromGuest(own),
    inputHook([dispatch("iifname", bridge, `from-${bridge}`)]),
    toLauncher(own),
    {
      family: "ip",
      name: "forward",
      hook: { type: "filter", name: "forward", priority: 0 },
      rules: [dispatch("iifname", bridge, "out"), dispatch("oifname", bridge, "in")],
    },
    outward(own),
    inward(own),
    nat("prerouting", NAT_DESTINATION, arriving(own)),
    nat("output", NAT_DESTINATION, fromPod(own)),
    nat("postrouting", NAT_SOURCE, leaving(own)),
  ];
}

function nat(name: "prerouting" | "output" | "postrouting", priority: number, rules: readonly Rule[]): Chain {
  return { family: "ip", name: `nat-${name}`, hook: { type: "nat", name, priority }, rules };
}

function fromGuest(own: MasqueradedInterface): Chain {
  return {
    family: "bridge",
    name: `from-${own.tap}`,
    rules: [
      ...ownFrameRules(own),
      // The bridge routes to 127.0.0.1 for the sake of the replies; the pod's own services are none of the guest's.
      refused(own.tap, "ip daddr 127.0.0.0/8", "loopback"),
      { rule: `ip saddr ${own.guestAddress} ${ACCEPT}`, comment: "own-address" },
      refused(own.tap, "ether type ip", "foreign-address"),
      // Every guest tries; nothing is worth telling of it.
      { rule: `ether type ip6 ${DROP}`, comment: "ipv6" },
      refused(own.tap, "", "other-protocol"),
    ],
  };
}

/** Of the pod itself the guest reaches DHCP and ping of its gateway; connections are opened from the pod only. */
function toLauncher({ bridge, gateway }: MasqueradedInterface): Chain {
  return {
    family: "ip",
    name: `from-${bridge}`,
    rules: [
      {
        rule: `ip daddr { 255.255.255.255, ${gateway} } udp sport 68 udp dport 67 ${ACCEPT}`,
        comment: "dhcp",
      },
      { rule: `ip daddr ${gateway} icmp type echo-request ${ACCEPT}`, comment: "ping" },
      { rule: `ct state established,related ${ACCEPT}`, comment: "reply" },
      { rule: DROP, comment: "other" },
    ],
  };
}

/** The guest reaches the pod network, and itself by the pod's address, but no other link that the pod may have. */
function outward({ podLink, bridge }: MasqueradedInterface): Chain {
  return {
    family: "ip",
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
function inward(_: MasqueradedInterface): Chain {
  return {
    family: "ip",
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
function arriving(own: MasqueradedInterface): readonly Rule[] {
  const { podLink, bridge, podAddresses } = own;
  const where = `iifname { "${podLink}", "${bridge}" } ip daddr { ${podAddresses.join(", ")} }`;
  return own.ports.length === 0 ? [toGuest(own, where, "all")] : listedPorts(own, where);
}

/** The pod's own connections to itself: `kubectl port-forward` and the like dial 127.0.0.1 in its namespace. */
function fromPod(own: MasqueradedInterface): readonly Rule[] {
  const where = `ip daddr { ${[LOOPBACK, ...own.podAddresses].join(", ")} }`;
  if (own.ports.length > 0) return listedPorts(own, where);
  return [toGuest(own, `${where} meta l4proto { tcp, udp }`, "all")];
}

function leaving(own: MasqueradedInterface): readonly Rule[] {
  const { podLink, podAddresses, bridge, gateway, guestAddress } = own;
  return [
    {
      rule: `oifname "${podLink}" ip saddr ${guestAddress} counter snat to ${podAddresses[0]}`,
      comment: "from-guest",
    },
    // So that the answers come back here: the guest would keep the one, and drop the other.
    {
      rule: `oifname "${bridge}" ip saddr { ${LOOPBACK}, ${guestAddress} } counter snat to ${gateway}`,
      comment: "loopback",
    },
  ];
}

function listedPorts(own: MasqueradedInterface, where: string): readonly Rule[] {
  return (["tcp", "udp"] as const).flatMap((protocol) => {
    const listed = own.ports.filter((port) => port.protocol.toLowerCase() === protocol);
    const ports = [...new Set(listed.map(({ port }) => port))].toSorted((a, b) => a - b);
    return ports.length === 0
      ? []
      : [toGuest(own, `${where} ${protocol} dport { ${ports.join(", ")} }`, protocol)];
  });
}

function toGuest({ guestAddress }: MasqueradedInterface, where: string, comment: string): Rule {
  return { rule: `${where} counter dnat to ${guestAddress}`, comment };
}
