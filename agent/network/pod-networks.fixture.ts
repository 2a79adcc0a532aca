/** Pod networks as clusters have them, each made for real between network namespaces; needs root. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type CniConfig, CniNetwork } from "./cni.fixture.ts";
import { inside, type Lab, type Pod } from "./lab.fixture.ts";

/** A node's place in a pod network. */
export interface NodeNetwork {
  readonly netns: string;
  readonly path: string;
  /** A pod, and its addresses without prefix length, IPv4 first. */
  addPod(): { readonly pod: Pod; readonly addresses: readonly string[] };
  /** What the runtime asks for at a pod's end, before it deletes the namespace. */
  removePod(pod: Pod): void;
  /** Whatever the network still holds for pods: addresses, links, routes, rules. */
  remains(): readonly string[];
}

let nodes = 0;

/** A node whose pods are the CNI plugins'. */
export function cniNode(lab: Lab, config: CniConfig): NodeNetwork {
  const netns = lab.makeNamespace("node");
  const leases = join(lab.stateDirectory, `leases-${nodes++}`);
  mkdirSync(leases);
  const network = new CniNetwork(netns, leases, config);
  inside(netns, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  return {
    netns,
    path: `/run/netns/${netns}`,
    addPod: () => {
      const pod = lab.makePod();
      return { pod, addresses: network.add(pod) };
    },
    removePod: (pod) => network.del(pod),
    remains: () => [
      ...network.heldAddresses,
      ...linesOf(netns, "ip -oneline link show type veth").filter((line) => !line.includes(UNDERLAY)),
      // Of ipMasq: one rule or more for each pod, which know it by its address.
      ...linesOf(netns, "nft list ruleset").filter((line) => /ip6? saddr|ip6? daddr .* comment/.test(line)),
    ],
  };
}

export const ROUTED_GATEWAY = "169.254.1.1";
/** The MAC that the node has towards every pod. */
export const ROUTED_GATEWAY_MAC = "ee:ee:ee:ee:ee:ee";

/**
 * As Calico does without its own datastore: a /32, a gateway that nobody has, and a node that answers ARP for it and
 * routes to each pod by itself.
 */
export function calicoNode(lab: Lab, subnet: string): NodeNetwork {
  return routedNode(lab, subnet, (netns, host) =>
    inside(netns, `sysctl -qw net.ipv4.conf.${host}.proxy_arp=1 net.ipv4.neigh.${host}.proxy_delay=0`),
  );
}

/** As the VPC CNI plugin of AWS does: the same, but the pod is given the gateway's MAC, and nobody answers ARP for it. */
export function awsNode(lab: Lab, subnet: string): NodeNetwork {
  return routedNode(lab, subnet, (_netns, _host, { netns: pod }) =>
    inside(pod, `ip neighbour add ${ROUTED_GATEWAY} lladdr ${ROUTED_GATEWAY_MAC} nud permanent dev eth0`),
  );
}

/** @param introduce makes pod and gateway known to each other, once their cable is there */
function routedNode(
  lab: Lab,
  subnet: string,
  introduce: (netns: string, host: string, pod: Pod) => void,
): NodeNetwork {
  const netns = lab.makeNamespace("node");
  inside(netns, "sysctl -qw net.ipv4.ip_forward=1");
  const hosts = new Map<string, string>();
  return {
    netns,
    path: `/run/netns/${netns}`,
    addPod: () => {
      const pod = lab.makePod();
      const host = `cali${hosts.size}`;
      const address = `${subnet}.${hosts.size + 9}`;
      hosts.set(pod.netns, host);
      const ends = `name ${host} mtu 1450 type veth peer name eth0 mtu 1450 netns ${pod.netns}`;
      inside(netns, `ip link add address ${ROUTED_GATEWAY_MAC} ${ends}`);
      inside(netns, `ip link set dev ${host} up`);
      inside(pod.netns, "ip link set dev eth0 up");
      inside(pod.netns, `ip address add ${address}/32 dev eth0`);
      inside(pod.netns, `ip route add ${ROUTED_GATEWAY} dev eth0 scope link`);
      inside(pod.netns, `ip route add default via ${ROUTED_GATEWAY} dev eth0`);
      introduce(netns, host, pod);
      inside(netns, `ip route add ${address}/32 dev ${host} scope link`);
      return { pod, addresses: [address] };
    },
    removePod: ({ netns: pod }) => void inside(netns, `ip link delete dev ${hosts.get(pod)}`),
    remains: () =>
      linesOf(netns, "ip -oneline link show type veth").filter((line) => !line.includes(UNDERLAY)),
  };
}

/** What joins nodes, and is nobody's pod. */
const UNDERLAY = "underlay0";

/** Joins two nodes by a cable; the first has 172.18.0.1, the second 172.18.0.2, each the other's default gateway. */
export function joinNodes(first: NodeNetwork, second: NodeNetwork): void {
  inside(first.netns, `ip link add name ${UNDERLAY} type veth peer name ${UNDERLAY} netns ${second.netns}`);
  for (const [node, own, other] of [
    [first, "172.18.0.1", "172.18.0.2"],
    [second, "172.18.0.2", "172.18.0.1"],
  ] as const) {
    inside(node.netns, `ip address add ${own}/24 dev ${UNDERLAY}`);
    inside(node.netns, `ip link set dev ${UNDERLAY} up`);
    inside(node.netns, `ip route add default via ${other}`);
  }
}

interface FlannelEnd {
  readonly node: NodeNetwork;
  readonly subnet: string;
  readonly underlay: string;
}

/** Joins two nodes as Flannel's VXLAN backend does: nothing is learnt, each knows the other beforehand. */
export function joinByVxlan(first: FlannelEnd, second: FlannelEnd): void {
  const macs = new Map<FlannelEnd, string>();
  for (const end of [first, second]) {
    const { netns } = end.node;
    const tunnel = `id 1 local ${end.underlay} dev ${UNDERLAY} dstport 8472 nolearning`;
    inside(netns, `ip link add name flannel.1 mtu 1450 type vxlan ${tunnel}`);
    inside(netns, `ip address add ${networkAddress(end.subnet)}/32 dev flannel.1`);
    inside(netns, "ip link set dev flannel.1 up");
    macs.set(end, inside(netns, "cat /sys/class/net/flannel.1/address").trim());
  }
  for (const [end, other] of [
    [first, second],
    [second, first],
  ] as const) {
    const { netns } = end.node;
    const [gateway, mac] = [networkAddress(other.subnet), macs.get(other)];
    inside(netns, `ip neighbour add ${gateway} lladdr ${mac} nud permanent dev flannel.1`);
    inside(netns, `bridge fdb append ${mac} dev flannel.1 dst ${other.underlay}`);
    inside(netns, `ip route add ${other.subnet} via ${gateway} dev flannel.1 onlink`);
  }
}

function networkAddress(subnet: string): string {
  return subnet.slice(0, subnet.indexOf("/"));
}

function linesOf(netns: string, command: string): readonly string[] {
  return inside(netns, command)
    .split("\n")
    .filter((line) => line.trim() !== "");
}
