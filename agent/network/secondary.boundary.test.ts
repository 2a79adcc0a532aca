/** A pod with further networks, as Multus attaches them, and a guest on each; needs root. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { serve, takeLease, untilRefused } from "./guest.fixture.ts";
import { announce, announceMasquerade, inside, Node, optionsFor, succeeds } from "./pod.fixture.ts";
import { observeNetwork, wireNetwork } from "./wire.ts";

/** KubeVirt's name for a secondary interface: with it the bridge's and the uplink's are as long as Linux allows. */
const SECONDARY = "pod0123456789a";
const MAC = "02:00:00:00:00:77";

test("an interface of KubeVirt's name is bridged beside the masqueraded one, and both are as planned", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  node.addSecondInterface(pod, "10.245.0.7", SECONDARY);
  const interfaces = [
    announceMasquerade(),
    announce({ name: "storage", podInterface: SECONDARY, macAddress: MAC }),
  ];
  const options = optionsFor(node, pod, { interfaces });
  const attachments = await wireNetwork(options);
  assert.deepEqual(
    attachments.map(({ tap, bridge, guest }) => [tap.name, bridge.name, bridge.address, guest.macAddress]),
    [
      ["tap0", "k6t-eth0", "10.0.2.1", "02:00:00:00:00:07"],
      ["tap1", "k6t-0123456789a", "169.254.75.11", MAC],
    ],
  );
  assert.deepEqual(await observeNetwork(options), []);
  const forwarding = (link: string) =>
    inside(pod.netns, `cat /proc/sys/net/ipv4/conf/${link}/forwarding`).trim();
  assert.deepEqual(["k6t-eth0", "k6t-0123456789a"].map(forwarding), ["1", "0"]);
});

test("a guest on a second network with an address takes it by DHCP and reaches that network", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const host = node.addSecondInterface(pod, "10.245.0.7", SECONDARY);
  inside(node.netns, `ip address add 10.245.0.1/24 dev ${host}`);
  const interfaces = [announce({ name: "storage", podInterface: SECONDARY, macAddress: MAC })];
  const { guest, next } = await serve(node, pod, optionsFor(node, pod, { interfaces }));
  takeLease(guest);
  assert.ok("leased" in (await next()));
  assert.ok(succeeds(guest.netns, "busybox ping -c 1 -W 5 10.245.0.1"));
  assert.ok(succeeds(node.netns, "busybox ping -c 1 -W 5 10.245.0.7"));
  assert.match(inside(pod.netns, "ip -o link show dev eth0"), /state UP/, "the pod's own is left alone");
});

test("a network without addresses is a wire to the guest, which keeps to its MAC and doesn't see the pod", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const host = node.addSecondInterface(pod, undefined, SECONDARY);
  inside(node.netns, `ip address add 10.9.0.1/24 dev ${host}`);
  inside(node.netns, `ip address add fd00:9::1/64 dev ${host} nodad`);
  const interfaces = [announce({ name: "wire", podInterface: SECONDARY, macAddress: MAC })];
  const options = optionsFor(node, pod, { interfaces });
  const [attachment] = await wireNetwork(options);
  assert.equal(attachment?.bridge.address, undefined);
  assert.deepEqual(await observeNetwork(options), []);

  const guest = await node.plugGuest(pod, "tap0", MAC);
  inside(guest.netns, "ip address add 10.9.0.2/24 dev eth0");
  inside(guest.netns, "ip address add fd00:9::2/64 dev eth0 nodad");
  const reaches = (address: string) => succeeds(guest.netns, `busybox ping -c 1 -W 5 ${address}`);
  assert.ok(reaches("10.9.0.1"), "IPv4");
  assert.ok(reaches("fd00:9::1"), "IPv6");
  inside(guest.netns, "ip address add 10.9.0.3/24 dev eth0");
  assert.ok(succeeds(guest.netns, "busybox ping -c 1 -W 5 -I 10.9.0.3 10.9.0.1"), "addresses are its affair");

  await untilRefused(pod, "foreign-mac", () => {
    inside(guest.netns, "ip link set dev eth0 address 02:00:00:00:00:66");
    assert.ok(!succeeds(guest.netns, "busybox ping -c 1 -W 1 10.9.0.1"));
  });
});
