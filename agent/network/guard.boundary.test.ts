/** Frames of a hostile guest against the guard, in real namespaces; needs root. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  ALL_NODES,
  arp,
  BROADCAST_MAC,
  ethernet,
  icmpv6,
  icmpv6Behind,
  laterFragment,
  mac,
  neighbourAdvertisement,
  neighbourSolicitation,
  redirect,
  routerAdvertisement,
  udp,
} from "./frames.fixture.ts";
import { packets, until, wireOne } from "./guest.fixture.ts";
import { announce, type Guest, inside, Node, optionsFor, type Pod, succeeds } from "./pod.fixture.ts";

const ADDRESS = "10.244.0.7";
const ADDRESS6 = "fd00::7";
const MAC = "02:00:00:00:00:07";
const LINK_LOCAL = "fe80::ff:fe00:7";
const GATEWAY = "10.244.0.1";
const GATEWAY6 = "fe80::1";
const OTHER = "10.244.0.8";
const OTHER6 = "fd00::8";
const FOREIGN_MAC = "02:00:00:00:00:08";

interface Lure {
  readonly node: Node;
  readonly pod: Pod;
  readonly guest: Guest;
}

async function lure(dualStack: boolean, unguarded?: true): Promise<Lure> {
  const node = new Node();
  const pod = node.addPod(ADDRESS);
  if (dualStack) inside(pod.netns, `ip address add ${ADDRESS6}/64 dev eth0 nodad`);
  const interfaces = [announce({ macAddress: MAC, ...(unguarded && { unguarded }) })];
  await wireOne(optionsFor(node, pod, { interfaces }));
  return { node, pod, guest: await node.plugGuest(pod, "tap0", MAC) };
}

/** Frames that have left the pod. */
function left({ netns }: Pod): number {
  return Number(inside(netns, "cat /sys/class/net/eth0-nic/statistics/tx_packets"));
}

interface Attack {
  readonly what: string;
  readonly frame: Buffer;
  /** The rule that refuses it. */
  readonly rule: string;
}

async function refuses({ pod, guest }: Lure, { what, frame, rule }: Attack): Promise<void> {
  const before = left(pod);
  const refused = packets(pod, "from-tap0", rule);
  guest.inject(frame);
  await until(() => packets(pod, "from-tap0", rule) > refused, `${what} is refused as ${rule}`);
  assert.equal(left(pod), before, what);
}

const dhcpAnswer = { from: ADDRESS, to: "255.255.255.255", fromPort: 67, toPort: 68 };
const ATTACKS: readonly Attack[] = [
  ...(["request", "reply"] as const).flatMap((operation): Attack[] => [
    {
      what: `an ARP ${operation} that claims the gateway's address`,
      frame: arp(MAC, { operation, senderMac: MAC, sender: GATEWAY, target: GATEWAY }),
      rule: "foreign-arp",
    },
    {
      what: `an ARP ${operation} that claims another pod's address`,
      frame: arp(MAC, { operation, senderMac: MAC, sender: OTHER, target: GATEWAY }),
      rule: "foreign-arp",
    },
    {
      what: `an ARP ${operation} that speaks of another MAC than its frame's`,
      frame: arp(MAC, { operation, senderMac: FOREIGN_MAC, sender: ADDRESS, target: GATEWAY }),
      rule: "foreign-arp",
    },
  ]),
  {
    what: "a foreign MAC",
    frame: arp(FOREIGN_MAC, { operation: "request", senderMac: MAC, sender: ADDRESS, target: GATEWAY }),
    rule: "foreign-mac",
  },
  {
    what: "a foreign IPv4 source",
    frame: udp(MAC, { from: OTHER, to: GATEWAY, fromPort: 53, toPort: 53 }),
    rule: "foreign-address",
  },
  { what: "a DHCP server's answer", frame: udp(MAC, dhcpAnswer), rule: "dhcp-server" },
  {
    what: "a bridge's spanning tree",
    frame: ethernet(MAC, "01:80:c2:00:00:00", 38, Buffer.from("424203000000000000".padEnd(76, "0"), "hex")),
    rule: "other-protocol",
  },
  {
    what: "an unknown protocol",
    frame: ethernet(MAC, BROADCAST_MAC, 0x88b5, Buffer.alloc(46)),
    rule: "other-protocol",
  },
];

describe("the guard of a guest with IPv4 only", () => {
  let held: Lure;
  before(async () => {
    held = await lure(false);
  });
  after(() => held.node[Symbol.asyncDispose]());

  for (const attack of ATTACKS) {
    test(`refuses ${attack.what}`, () => refuses(held, attack));
  }

  test("drops every IPv6 frame in both directions", async () => {
    const solicitation = icmpv6(MAC, LINK_LOCAL, ALL_NODES, neighbourSolicitation(LINK_LOCAL));
    await refuses(held, { what: "IPv6", frame: solicitation, rule: "ipv6" });
    const { node, pod } = held;
    const dropped = packets(pod, "from-eth0-nic", "ipv6");
    inside(node.netns, "ip -6 address add fd00::1/64 dev cni0 nodad");
    assert.ok(!succeeds(node.netns, `busybox ping -6 -c 1 -W 1 ${ADDRESS6}`));
    assert.ok(packets(pod, "from-eth0-nic", "ipv6") > dropped, "the node's question is dropped");
  });
});

const RA = routerAdvertisement("2001:db8::");
const ATTACKS6: readonly Attack[] = [
  { what: "a router's advertisement", frame: icmpv6(MAC, LINK_LOCAL, ALL_NODES, RA), rule: "router" },
  {
    what: "a router's advertisement behind destination options",
    frame: icmpv6Behind("destination", MAC, LINK_LOCAL, RA),
    rule: "router",
  },
  {
    what: "a router's advertisement as an atomic fragment",
    frame: icmpv6Behind("fragment", MAC, LINK_LOCAL, RA),
    rule: "router",
  },
  {
    what: "the later half of a fragmented message",
    frame: laterFragment(MAC, LINK_LOCAL, RA),
    rule: "fragment",
  },
  {
    what: "a redirect",
    frame: icmpv6(MAC, LINK_LOCAL, ALL_NODES, redirect(LINK_LOCAL, OTHER6)),
    rule: "router",
  },
  {
    what: "an advertisement of the gateway's address",
    frame: icmpv6(MAC, LINK_LOCAL, ALL_NODES, neighbourAdvertisement(GATEWAY6, MAC)),
    rule: "foreign-nd",
  },
  {
    what: "an advertisement of another pod's address, from the guest's own",
    frame: icmpv6(MAC, ADDRESS6, ALL_NODES, neighbourAdvertisement(OTHER6, MAC)),
    rule: "foreign-nd",
  },
  {
    what: "a solicitation that denies another pod its new address",
    frame: icmpv6(MAC, "::", "ff02::1:ff00:8", neighbourSolicitation(OTHER6)),
    rule: "foreign-address6",
  },
  {
    what: "a solicitation from the gateway's address",
    frame: icmpv6(MAC, GATEWAY6, ALL_NODES, neighbourSolicitation(OTHER6)),
    rule: "foreign-address6",
  },
  {
    what: "a foreign IPv6 source",
    frame: udp(MAC, { from: OTHER6, to: ALL_NODES, fromPort: 53, toPort: 53 }),
    rule: "foreign-address6",
  },
  {
    what: "a DHCPv6 server's answer",
    frame: udp(MAC, { from: LINK_LOCAL, to: ALL_NODES, fromPort: 547, toPort: 546 }),
    rule: "dhcp-server",
  },
  {
    what: "a question for DHCPv6",
    frame: udp(MAC, { from: LINK_LOCAL, to: "ff02::1:2", fromPort: 546, toPort: 547 }),
    rule: "dhcp6",
  },
];

describe("the guard of a guest with IPv4 and IPv6", () => {
  let held: Lure;
  before(async () => {
    held = await lure(true);
  });
  after(() => held.node[Symbol.asyncDispose]());

  for (const attack of [...ATTACKS, ...ATTACKS6]) {
    test(`refuses ${attack.what}`, () => refuses(held, attack));
  }

  test("lets through what a host of that MAC and those addresses says", async () => {
    const own: readonly (readonly [what: string, frame: Buffer])[] = [
      ["ARP", arp(MAC, { operation: "request", senderMac: MAC, sender: ADDRESS, target: GATEWAY })],
      [
        "an ARP probe",
        arp(MAC, { operation: "request", senderMac: MAC, sender: "0.0.0.0", target: ADDRESS }),
      ],
      ["IPv4", udp(MAC, { from: ADDRESS, to: GATEWAY, fromPort: 9, toPort: 9 })],
      ["IPv6", udp(MAC, { from: ADDRESS6, to: ALL_NODES, fromPort: 9, toPort: 9 })],
      [
        "an advertisement of its address",
        icmpv6(MAC, ADDRESS6, ALL_NODES, neighbourAdvertisement(ADDRESS6, MAC)),
      ],
      ["duplicate address detection", icmpv6(MAC, "::", "ff02::1:ff00:7", neighbourSolicitation(ADDRESS6))],
      ["a solicitation", icmpv6(MAC, LINK_LOCAL, "ff02::1:ff00:8", neighbourSolicitation(OTHER6))],
      ["a question for routers", icmpv6(MAC, "::", "ff02::2", Buffer.from("8500000000000000", "hex"))],
    ];
    for (const [what, frame] of own) {
      const before = left(held.pod);
      held.guest.inject(frame);
      await until(() => left(held.pod) > before, `${what} leaves the pod`);
    }
  });
});

describe("a guest without the guard", () => {
  let held: Lure;
  before(async () => {
    held = await lure(false, true);
  });
  after(() => held.node[Symbol.asyncDispose]());

  test("sends from any MAC and address, tagged or not, IPv6 and routers' words included", async () => {
    const tagged = Buffer.concat([
      mac(BROADCAST_MAC),
      mac(FOREIGN_MAC),
      Buffer.from("8100000588b5", "hex"),
      Buffer.alloc(46),
    ]);
    const frames = [...ATTACKS, ...ATTACKS6].filter(({ rule }) => !rule.startsWith("dhcp"));
    for (const { what, frame } of [...frames, { what: "a VLAN tag", frame: tagged }]) {
      const before = left(held.pod);
      held.guest.inject(frame);
      await until(() => left(held.pod) > before, `${what} leaves the pod`);
    }
  });

  test("still has DHCP to itself, and the launcher's side still is nobody else's", async () => {
    const { node, pod, guest } = held;
    for (const { frame, what } of [...ATTACKS, ...ATTACKS6].filter(({ rule }) => rule.startsWith("dhcp"))) {
      const before = left(pod);
      const dropped = packets(pod, "to-eth0-nic", "dhcp");
      guest.inject(frame);
      await until(() => packets(pod, "to-eth0-nic", "dhcp") > dropped, `${what} stays inside`);
      assert.equal(left(pod), before, what);
    }
    const dropped = packets(pod, "from-eth0-nic", "launcher-arp");
    assert.ok(!succeeds(node.netns, "busybox arping -c 1 -w 1 -I cni0 169.254.75.10"));
    assert.ok(
      packets(pod, "from-eth0-nic", "launcher-arp") > dropped,
      "nobody answers for the launcher's address",
    );
  });
});
