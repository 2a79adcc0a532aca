/** A node with a pod network, made of namespaces, veths and a bridge as the CNI bridge plugin would, for tests. */
import type { AnnouncedBridge, AnnouncedMasquerade } from "../../api/uplink-protocol.ts";
import { inside, Lab, type Pod } from "./lab.fixture.ts";
import type { WireOptions } from "./types.ts";

export { type Guest, inside, type Pod, succeeds } from "./lab.fixture.ts";

export class Node extends Lab {
  readonly netns = this.makeNamespace("node");
  readonly path = `/run/netns/${this.netns}`;
  #pods = 0;

  constructor() {
    super();
    inside(this.netns, "ip link add name cni0 type bridge");
    inside(this.netns, "ip address add 10.244.0.1/24 dev cni0");
    inside(this.netns, "ip link set dev cni0 up");
  }

  /** A pod with eth0 on the node's bridge, and a default route by way of it. */
  addPod(address: string, mtu = 1500): Pod {
    const pod = this.#addVeth(mtu, true);
    inside(pod.netns, `ip address add ${address}/24 dev eth0`);
    inside(pod.netns, "ip route add default via 10.244.0.1 dev eth0");
    return pod;
  }

  /** As Calico does: a /32, a gateway that is no neighbour, and a node that answers ARP for it. */
  addRoutedPod(address: string): Pod {
    const host = `veth${this.#pods}`;
    const pod = this.#addVeth(1440, false);
    inside(pod.netns, `ip address add ${address}/32 dev eth0`);
    inside(pod.netns, "ip route add 169.254.1.1 dev eth0 scope link");
    inside(pod.netns, "ip route add default via 169.254.1.1 dev eth0");
    inside(this.netns, `ip route add ${address}/32 dev ${host} src 10.244.0.1`);
    inside(this.netns, `sysctl -qw net.ipv4.conf.${host}.proxy_arp=1 net.ipv4.ip_forward=1`);
    // The node answers ARP for what it would forward by another link.
    inside(this.netns, "ip route replace 169.254.1.1/32 dev cni0");
    return pod;
  }

  /** The node's end of it, which is on no bridge. Without an address for the pod it is a plain wire. */
  addSecondInterface(pod: Pod, address?: string, name = "net1"): string {
    const host = `veth${this.#pods++}`;
    inside(this.netns, `ip link add name ${host} type veth peer name ${name} netns ${pod.netns}`);
    inside(this.netns, `ip link set dev ${host} up`);
    if (address !== undefined) inside(pod.netns, `ip address add ${address}/24 dev ${name}`);
    inside(pod.netns, `ip link set dev ${name} up`);
    return host;
  }

  #addVeth(mtu: number, bridged: boolean): Pod {
    const pod = this.makePod();
    const host = `veth${this.#pods++}`;
    inside(
      this.netns,
      `ip link add name ${host} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pod.netns}`,
    );
    if (bridged) inside(this.netns, `ip link set dev ${host} master cni0`);
    inside(this.netns, `ip link set dev ${host} up`);
    inside(pod.netns, "ip link set dev eth0 up");
    return pod;
  }
}

export function announce(overrides: Partial<AnnouncedBridge> = {}): AnnouncedBridge {
  return { name: "default", binding: "bridge", podInterface: "eth0", queues: 1, ...overrides };
}

export function announceMasquerade(overrides: Partial<AnnouncedMasquerade> = {}): AnnouncedMasquerade {
  return {
    name: "default",
    binding: "masquerade",
    podInterface: "eth0",
    macAddress: "02:00:00:00:00:07",
    queues: 1,
    vmNetworkCidr: "10.0.2.0/24",
    ports: [],
    ...overrides,
  };
}

/** For wiring one pod of a node, with one interface unless said otherwise. */
export function optionsFor(
  node: Pick<Node, "path" | "stateDirectory">,
  pod: Pod,
  overrides: Partial<WireOptions> = {},
): WireOptions {
  return {
    netns: pod.path,
    hostNetns: node.path,
    podUid: `pod-${pod.netns}`,
    interfaces: [announce()],
    stateDirectory: node.stateDirectory,
    ...overrides,
  };
}
