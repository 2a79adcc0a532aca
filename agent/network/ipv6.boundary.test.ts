/** IPv6 on the bridge binding, from the pod network's routers to the guest and back, in real namespaces; needs root. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until, wireOne } from "./guest.fixture.ts";
import { announce, type Guest, inside, Node, optionsFor, type Pod, succeeds } from "./pod.fixture.ts";
import { advertisementOf, listenToRouters, router } from "./router.fixture.ts";
import { observeNetwork } from "./wire.ts";

const MAC = "02:00:00:00:00:07";
const FOREVER = "valid_lft forever preferred_lft forever";

function addresses6(netns: string): string {
  return inside(netns, "ip -6 -o address show dev eth0 scope global");
}

/** The guest has what routers advertised, and reaches others and is reached by it. */
async function holds(node: Node, guest: Guest, other: Pod, address: string): Promise<void> {
  assert.match(addresses6(guest.netns), new RegExp(`${address}/64 .*dynamic`));
  assert.match(inside(guest.netns, "ip -6 route show default"), /via fe80::1 dev eth0 proto ra/);
  assert.ok(succeeds(guest.netns, "busybox ping -6 -c 1 -W 5 2001:db8::1"), "the guest reaches the router");
  for (const netns of [node.netns, other.netns]) {
    assert.ok(succeeds(netns, `busybox ping -6 -c 1 -W 5 ${address}`), `${netns} reaches the guest`);
  }
}

for (const [whose, macAddress] of [
  ["the pod's MAC takes the pod's own", undefined],
  ["a MAC of its own takes that MAC's", MAC],
] as const) {
  test(`where routers advertise, a guest with ${whose} address, and nothing is withheld`, async () => {
    await using node = new Node();
    using socket = await router(node);
    const [pod, other] = [node.addPod("10.244.0.7"), node.addPod("10.244.0.8")];
    inside(other.netns, "ip address add 2001:db8::8/64 dev eth0 nodad");
    listenToRouters(pod.netns);
    await until(() => {
      socket.send(advertisementOf(node));
      return addresses6(pod.netns).includes("2001:db8:");
    }, "the pod has an address");
    const [podAddress = ""] = /2001:db8:[0-9a-f:]+/.exec(addresses6(pod.netns)) ?? [];

    const options = optionsFor(node, pod, {
      interfaces: [announce(macAddress === undefined ? {} : { macAddress })],
    });
    const { podInterface, guest: own } = await wireOne(options);
    assert.deepEqual(podInterface.advertised, [`${podAddress}/64`]);
    assert.deepEqual(await observeNetwork(options), []);
    assert.equal(inside(pod.netns, "ip -6 address show dev k6t-eth0"), "", "the launcher's side has no IPv6");

    const guest = await node.plugGuest(pod, "tap0", own.macAddress);
    listenToRouters(guest.netns);
    await until(() => {
      socket.send(advertisementOf(node));
      return addresses6(guest.netns).includes("2001:db8:");
    }, "the guest has an address");
    await holds(node, guest, other, macAddress === undefined ? podAddress : "2001:db8::ff:fe00:7");
  });
}

test("where the CNI plugin gave an address, a guest that is told of it may use it, and no other", async () => {
  await using node = new Node();
  inside(node.netns, "ip address add fd00::1/64 dev cni0 nodad");
  const [pod, other] = [node.addPod("10.244.0.7"), node.addPod("10.244.0.8")];
  inside(pod.netns, "ip address add fd00::7/64 dev eth0 nodad");
  inside(other.netns, "ip address add fd00::8/64 dev eth0 nodad");
  const { podInterface, guest: own } = await wireOne(optionsFor(node, pod));
  assert.equal(podInterface.advertised, undefined);
  const guest = await node.plugGuest(pod, "tap0", own.macAddress);
  inside(guest.netns, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0");
  inside(guest.netns, `ip address add fd00::7/64 dev eth0 ${FOREVER} nodad`);
  for (const address of ["fd00::1", "fd00::8"]) {
    assert.ok(succeeds(guest.netns, `busybox ping -6 -c 1 -W 5 ${address}`), address);
  }
  for (const netns of [node.netns, other.netns])
    assert.ok(succeeds(netns, "busybox ping -6 -c 1 -W 5 fd00::7"));

  inside(guest.netns, `ip address add fd00::66/64 dev eth0 ${FOREVER} nodad`);
  assert.ok(!succeeds(guest.netns, "busybox ping -6 -c 1 -W 1 -I fd00::66 fd00::8"));
  assert.ok(!succeeds(other.netns, "busybox ping -6 -c 1 -W 1 fd00::66"));
});
