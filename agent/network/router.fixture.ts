/** A node as an IPv6 router on its pod network, and hosts that listen to it, for tests. */
import { ALL_NODES, icmpv6, routerAdvertisement } from "./frames.fixture.ts";
import { openNamespace } from "./namespace.ts";
import { inside, type Node } from "./pod.fixture.ts";
import { type DatagramSocket, openFrameSocket } from "./watch/sockets.ts";

const ROUTER = "fe80::1";

/** Makes the node a router on its pod network; it advertises by the socket. */
export async function router(node: Node): Promise<DatagramSocket> {
  inside(node.netns, "ip address add fe80::1/64 dev cni0 nodad");
  inside(node.netns, "ip address add 2001:db8::1/64 dev cni0 nodad");
  await using namespace = await openNamespace(node.path, "/proc/self/ns/net", "node");
  return openFrameSocket(namespace, "cni0");
}

/** Makes the namespace a host that forms addresses of what routers advertise. */
export function listenToRouters(netns: string): void {
  inside(netns, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=2");
  inside(netns, "sysctl -qw net.ipv6.conf.eth0.autoconf=1 net.ipv6.conf.eth0.addr_gen_mode=0");
  inside(netns, "sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.use_tempaddr=0");
  // The link-local address is made when the link comes up.
  inside(netns, "ip link set dev eth0 down");
  inside(netns, "ip link set dev eth0 up");
}

export function advertisementOf(node: Node): Buffer {
  const source = inside(node.netns, "cat /sys/class/net/cni0/address").trim();
  return icmpv6(source, ROUTER, ALL_NODES, routerAdvertisement("2001:db8::"));
}
