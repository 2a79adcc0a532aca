/**
 * Guests on pod networks as clusters have them, from the CNI plugin's ADD to its DEL: what is found, planned, applied
 * and observed, and what a guest with a lease reaches through it. Needs root, and Go where the plugins aren't built.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodInterface } from "../../api/pod-interface.ts";
import type { CniConfig } from "./cni.fixture.ts";
import { NetworkError } from "./errors.ts";
import { serve, takeLease, until } from "./guest.fixture.ts";
import { type Guest, inside, Lab, type Pod, succeeds } from "./lab.fixture.ts";
import { optionsFor } from "./pod.fixture.ts";
import {
  awsNode,
  calicoNode,
  cniNode,
  joinByVxlan,
  joinNodes,
  type NodeNetwork,
  ROUTED_GATEWAY,
  ROUTED_GATEWAY_MAC,
} from "./pod-networks.fixture.ts";
import { observeNetwork, wireNetwork } from "./wire.ts";

const IP_HEADER_BYTES = 20;
const ICMP_HEADER_BYTES = 8;

/** One guest's pod on a network, with others to reach. */
interface Case {
  readonly node: NodeNetwork;
  readonly pod: Pod;
  readonly address: string;
  readonly mtu: number;
  /** Of the guest's interface, as its DHCP client must make it. */
  readonly prefixLength: number;
  /** Without MAC, which is random. */
  readonly found: Omit<PodInterface, "macAddress" | "name">;
  /** Addresses that must answer the guest: the gateway, pods here and elsewhere. */
  readonly reached: readonly string[];
  /** Namespaces that must reach the guest. */
  readonly from: readonly string[];
}

/** The whole way of a guest on a network, and back to the bare node. */
async function hold(lab: Lab, one: Case): Promise<Guest> {
  const { node, pod, address, mtu } = one;
  const options = optionsFor({ path: node.path, stateDirectory: lab.stateDirectory }, pod);
  const { attachment, guest, next } = await serve(lab, pod, options);
  const { macAddress, name, ...found } = attachment.podInterface;
  assert.equal(name, "eth0");
  assert.equal(attachment.guest.macAddress, macAddress);
  assert.deepEqual(found, one.found);
  assert.deepEqual(await observeNetwork(options), []);

  takeLease(guest);
  assert.deepEqual(await next(), { leased: { interfaceName: "default", macAddress, address } });
  assert.match(
    inside(guest.netns, "ip address show dev eth0"),
    new RegExp(`mtu ${mtu} [^]*inet ${address}/${one.prefixLength} `),
  );
  const full = mtu - IP_HEADER_BYTES - ICMP_HEADER_BYTES;
  const ping = (target: string) => `busybox ping -c 1 -W 5 -s ${full} ${target}`;
  for (const target of one.reached) {
    assert.ok(
      succeeds(guest.netns, ping(target)),
      `the guest reaches ${target}\n${inside(guest.netns, "ip route")}`,
    );
  }
  for (const netns of one.from) assert.ok(succeeds(netns, ping(address)), `${netns} reaches the guest`);
  assert.equal(fragmentsMade(guest.netns), 0, "packets of the MTU's size left in one piece");
  return guest;
}

/** The runtime's way to end a pod, with its guest still plugged in; afterwards nothing may be left of it. */
async function end(lab: Lab, node: NodeNetwork, pods: readonly Pod[]): Promise<void> {
  await lab.endChildren();
  assert.notDeepEqual(node.remains(), [], "the network knows of its pods");
  for (const pod of pods) {
    node.removePod(pod);
    lab.removeNamespace(pod.netns);
  }
  await until(() => node.remains().length === 0, `nothing remains of the pods: ${node.remains().join("\n")}`);
}

function fragmentsMade(netns: string): number {
  const [names = "", values = ""] = inside(netns, "cat /proc/net/snmp").split("\n");
  return Number(values.split(" ")[names.split(" ").indexOf("FragCreates")]);
}

const DEFAULT = "0.0.0.0/0";
/** Rules by which the node hides pods behind its own address; the plugin takes them back by the pod's address at DEL. */
const MASQUERADED = { ipMasq: true, ipMasqBackend: "nftables" };

const BRIDGE: CniConfig = {
  name: "pods",
  type: "bridge",
  subnets: ["10.88.0.0/24"],
  routes: [DEFAULT],
  more: { bridge: "cni0", isGateway: true, hairpinMode: true, ...MASQUERADED },
};

interface TwoNodes {
  readonly prefixLength: number;
  readonly routes: PodInterface["routes"];
  readonly neighbours: PodInterface["neighbours"];
  /** Of the nodes. */
  readonly reached: readonly string[];
}

/** A guest on the first of two joined nodes, which reaches the pods of both and is reached from them. */
async function holdOnTwoNodes(
  lab: Lab,
  [node, other]: readonly [NodeNetwork, NodeNetwork],
  { prefixLength, routes, neighbours, reached }: TwoNodes,
) {
  const [neighbour, remote] = [node.addPod(), other.addPod()];
  const { pod, addresses } = node.addPod();
  const [address = ""] = addresses;
  const guest = await hold(lab, {
    node,
    pod,
    address,
    mtu: 1450,
    prefixLength,
    found: { mtu: 1450, addresses: [`${address}/${prefixLength}`], routes, neighbours },
    reached: [...reached, ...neighbour.addresses, ...remote.addresses],
    from: [node.netns, neighbour.pod.netns, remote.pod.netns],
  });
  const endAll = async () => {
    await end(lab, node, [pod, neighbour.pod]);
    await end(lab, other, [remote.pod]);
  };
  return { node, pod, guest, endAll };
}

/** With a /32 per pod, and a gateway that no interface has. */
async function holdRouted(
  lab: Lab,
  makeNode: (lab: Lab, subnet: string) => NodeNetwork,
  neighbours: PodInterface["neighbours"],
) {
  const nodes = [makeNode(lab, "192.168.7"), makeNode(lab, "192.168.8")] as const;
  joinNodes(...nodes);
  return holdOnTwoNodes(lab, nodes, {
    prefixLength: 32,
    routes: [{ destination: DEFAULT, gateway: ROUTED_GATEWAY }, { destination: `${ROUTED_GATEWAY}/32` }],
    neighbours,
    reached: ["172.18.0.1", "172.18.0.2"],
  });
}

describe("a guest has its pod's network", () => {
  test("of the bridge plugin", async () => {
    await using lab = new Lab();
    const node = cniNode(lab, BRIDGE);
    const neighbour = node.addPod();
    const { pod, addresses } = node.addPod();
    const [address = ""] = addresses;
    await hold(lab, {
      node,
      pod,
      address,
      mtu: 1500,
      prefixLength: 24,
      found: {
        mtu: 1500,
        addresses: [`${address}/24`],
        routes: [{ destination: DEFAULT, gateway: "10.88.0.1" }],
        neighbours: [],
      },
      reached: ["10.88.0.1", ...neighbour.addresses],
      from: [node.netns, neighbour.pod.netns],
    });
    await end(lab, node, [pod, neighbour.pod]);
  });

  test("of the ptp plugin, where even pods of the same subnet are behind the gateway", async () => {
    await using lab = new Lab();
    const node = cniNode(lab, {
      name: "pods",
      type: "ptp",
      subnets: ["10.89.0.0/24"],
      routes: [DEFAULT],
      mtu: 1460,
      more: MASQUERADED,
    });
    const neighbour = node.addPod();
    const { pod, addresses } = node.addPod();
    const [address = ""] = addresses;
    const guest = await hold(lab, {
      node,
      pod,
      address,
      mtu: 1460,
      prefixLength: 32,
      found: {
        mtu: 1460,
        addresses: [`${address}/24`],
        routes: [
          { destination: DEFAULT, gateway: "10.89.0.1" },
          { destination: "10.89.0.0/24", gateway: "10.89.0.1" },
          { destination: "10.89.0.1/32" },
        ],
        neighbours: [],
      },
      reached: ["10.89.0.1", ...neighbour.addresses],
      from: [node.netns, neighbour.pod.netns],
    });
    assert.match(inside(guest.netns, "ip route"), /10\.89\.0\.0\/24 via 10\.89\.0\.1 dev eth0/);
    await end(lab, node, [pod, neighbour.pod]);
  });

  test("as Calico makes it: a /32, and a gateway that only proxy ARP answers for", async () => {
    await using lab = new Lab();
    const { guest, endAll } = await holdRouted(lab, calicoNode, []);
    assert.match(inside(guest.netns, `ip neighbour show ${ROUTED_GATEWAY}`), new RegExp(ROUTED_GATEWAY_MAC));
    await endAll();
  });

  test("as AWS makes it: a /32, and a gateway whose MAC is pinned in the pod, for nobody answers ARP for it", async () => {
    await using lab = new Lab();
    const gateway = { address: ROUTED_GATEWAY, macAddress: ROUTED_GATEWAY_MAC };
    const { node, pod, guest, endAll } = await holdRouted(lab, awsNode, [gateway]);
    assert.match(inside(guest.netns, `ip neighbour show ${gateway.address}`), new RegExp(gateway.macAddress));
    // Whatever of it gets lost is seen, and mended.
    const options = optionsFor({ path: node.path, stateDirectory: lab.stateDirectory }, pod);
    inside(pod.netns, `bridge fdb del ${gateway.macAddress} dev eth0-nic master`);
    inside(pod.netns, "ip link set dev eth0-nic type bridge_slave proxy_arp_wifi off");
    assert.deepEqual(await observeNetwork(options), [
      "eth0-nic: has no proxy for ARP",
      `eth0-nic: ${gateway.macAddress} is not known behind it`,
    ]);
    await wireNetwork(options);
    assert.deepEqual(await observeNetwork(options), []);
    await endAll();
  });

  test("as Flannel makes it: VXLAN between the nodes, and a route to all pods beside the default one", async () => {
    await using lab = new Lab();
    const flannel = (subnet: string) =>
      cniNode(lab, {
        name: "cbr0",
        type: "bridge",
        subnets: [subnet],
        routes: ["10.244.0.0/16"],
        mtu: 1450,
        more: { bridge: "cni0", isGateway: true, isDefaultGateway: true, hairpinMode: true },
      });
    const [node, other] = [flannel("10.244.0.0/24"), flannel("10.244.1.0/24")];
    joinNodes(node, other);
    joinByVxlan(
      { node, subnet: "10.244.0.0/24", underlay: "172.18.0.1" },
      { node: other, subnet: "10.244.1.0/24", underlay: "172.18.0.2" },
    );
    const { guest, endAll } = await holdOnTwoNodes(lab, [node, other], {
      prefixLength: 24,
      routes: [
        { destination: DEFAULT, gateway: "10.244.0.1" },
        { destination: "10.244.0.0/16", gateway: "10.244.0.1" },
      ],
      neighbours: [],
      reached: ["10.244.0.1", "10.244.1.1"],
    });
    assert.match(inside(guest.netns, "ip route"), /10\.244\.0\.0\/16 via 10\.244\.0\.1 dev eth0/);
    await endAll();
  });

  test("with addresses of both families, of which IPv4 is the guest's", async () => {
    await using lab = new Lab();
    const node = cniNode(lab, {
      ...BRIDGE,
      subnets: ["10.88.0.0/24", "fd00:88::/64"],
      routes: [DEFAULT, "::/0"],
    });
    const neighbour = node.addPod();
    const { pod, addresses } = node.addPod();
    const [address = "", address6 = ""] = addresses;
    const [neighbourAddress = ""] = neighbour.addresses;
    await hold(lab, {
      node,
      pod,
      address,
      mtu: 1500,
      prefixLength: 24,
      found: {
        mtu: 1500,
        addresses: [`${address}/24`, `${address6}/64`],
        routes: [
          { destination: DEFAULT, gateway: "10.88.0.1" },
          { destination: "::/0", gateway: "fd00:88::1" },
        ],
        neighbours: [],
      },
      reached: ["10.88.0.1", neighbourAddress],
      from: [node.netns, neighbour.pod.netns],
    });
    // For whoever looks: the kubelet, and the plugin at DEL.
    assert.match(inside(pod.netns, "ip address show dev eth0"), new RegExp(`inet6 ${address6}/64`));
    await end(lab, node, [pod, neighbour.pod]);
  });
});

test("a pod with IPv6 alone is refused before anything of it is changed, and ends as any other", async () => {
  await using lab = new Lab();
  const node = cniNode(lab, { ...BRIDGE, subnets: ["fd00:88::/64"], routes: ["::/0"] });
  const { pod } = node.addPod();
  const options = optionsFor({ path: node.path, stateDirectory: lab.stateDirectory }, pod);
  const before = inside(pod.netns, "ip -oneline link show");
  await assert.rejects(wireNetwork(options), (error) => {
    assert.ok(error instanceof NetworkError, String(error));
    assert.equal(error.code, "NoIPv4Address");
    assert.match(error.message, /eth0: has no IPv4 address/);
    return true;
  });
  assert.equal(inside(pod.netns, "ip -oneline link show"), before);
  assert.equal(inside(pod.netns, "nft list ruleset"), "");
  await end(lab, node, [pod]);
});

test("a pod interface without any address is a wire, on which the guest has whatever it takes", async () => {
  await using lab = new Lab();
  const node = cniNode(lab, { ...BRIDGE, subnets: [], routes: [], more: { bridge: "cni0" } });
  const [neighbour, { pod }] = [node.addPod(), node.addPod()];
  inside(neighbour.pod.netns, "ip address add 192.0.2.8/24 dev eth0");
  const options = optionsFor({ path: node.path, stateDirectory: lab.stateDirectory }, pod);
  const [attachment] = await wireNetwork(options);
  assert.ok(attachment);
  assert.equal(attachment.bridge.address, undefined);
  assert.deepEqual(await observeNetwork(options), []);
  const { tap, guest: card } = attachment;
  const guest = await lab.plugGuest(pod, tap.name, card.macAddress);
  inside(guest.netns, "ip address add 192.0.2.7/24 dev eth0");
  assert.ok(succeeds(guest.netns, "busybox ping -c 1 -W 5 -s 1472 192.0.2.8"));
  assert.ok(succeeds(neighbour.pod.netns, "busybox ping -c 1 -W 5 -s 1472 192.0.2.7"));
  await end(lab, node, [pod, neighbour.pod]);
});

test("DEL may come twice", async () => {
  await using lab = new Lab();
  const node = cniNode(lab, BRIDGE);
  const { pod } = node.addPod();
  await wireNetwork(optionsFor({ path: node.path, stateDirectory: lab.stateDirectory }, pod));
  node.removePod(pod);
  await end(lab, node, [pod]);
});
