/** What `virtpod net` is told of real namespaces, links and rules; needs root. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { InterfacePath } from "../../api/network-path.ts";
import { NetworkError } from "./errors.ts";
import { packets as counted, serve, takeLease, until } from "./guest.fixture.ts";
import { inspectNetwork } from "./inspect.ts";
import { announce, inside, Node, optionsFor, succeeds } from "./pod.fixture.ts";

const MASQUERADE = {
  name: "default",
  podInterface: "eth0",
  queues: 1,
  binding: "masquerade",
  vmNetworkCidr: "10.0.2.0/24",
  ports: [],
} as const;

function linksOf(path: InterfacePath | undefined): readonly (readonly unknown[])[] {
  return path?.links.map(({ role, name, isUp, mtu }) => [role, name, isUp, mtu]) ?? [];
}

test("a guest's frames are counted on each link of their way, and those that were dropped by their rule", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7", 1400);
  const options = optionsFor(node, pod);
  const { guest, next } = await serve(node, pod, options);
  takeLease(guest);
  assert.ok("leased" in (await next()));
  assert.ok(succeeds(guest.netns, "busybox ping -c 3 -W 5 10.244.0.1"));
  inside(guest.netns, "ip address add 10.244.0.66/24 dev eth0");
  assert.ok(!succeeds(guest.netns, "busybox ping -c 2 -W 1 -I 10.244.0.66 10.244.0.1"));
  // The guest's frames are carried by a process of its own, and may come when the ping has given up.
  const refused = () =>
    counted(pod, "from-tap0", "foreign-address") + counted(pod, "from-tap0", "foreign-arp");
  await until(() => refused() >= 2, "both questions are dropped");

  const { differences, interfaces } = await inspectNetwork(options);
  assert.deepEqual(differences, []);
  const [path] = interfaces;
  assert.deepEqual([path?.name, path?.binding], ["default", "bridge"]);
  assert.deepEqual(linksOf(path), [
    ["tap", "tap0", true, 1400],
    ["bridge", "k6t-eth0", true, 1400],
    ["podInterface", "eth0-nic", true, 1400],
  ]);
  const packets = (role: string, way: "fromGuest" | "toGuest") =>
    path?.links.find((link) => link.role === role)?.[way].packets ?? 0;
  assert.ok(packets("tap", "fromGuest") > packets("podInterface", "fromGuest"), "DHCP stays inside");
  assert.ok(packets("podInterface", "fromGuest") >= 3 && packets("podInterface", "toGuest") >= 3);
  assert.ok(packets("tap", "toGuest") >= 3);
  const dropped = new Map(path?.dropped.map(({ rule, packets: count }) => [rule, count]));
  assert.ok((dropped.get("foreign-address") ?? 0) + (dropped.get("foreign-arp") ?? 0) >= 2);
  assert.equal(dropped.get("vlan"), 0);
  assert.ok(!dropped.has("own-address"), "what is accepted is not dropped");
});

test("behind masquerade the pod's interface keeps its name, and what was changed since is told", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const options = optionsFor(node, pod, { interfaces: [MASQUERADE] });
  await assert.rejects(inspectNetwork(options), (error) => {
    assert.ok(error instanceof NetworkError);
    return error.code === "NotWired";
  });
  await serve(node, pod, options);
  inside(pod.netns, "ip link set dev tap0 mtu 1300");
  const { differences, interfaces } = await inspectNetwork(options);
  // A bridge takes the smallest MTU of its ports.
  assert.deepEqual(differences, ["k6t-eth0: has MTU 1300", "tap0: has MTU 1300"]);
  const [path] = interfaces;
  assert.equal(path?.binding, "masquerade");
  assert.deepEqual(
    linksOf(path).map(([role, name]) => [role, name]),
    [
      ["tap", "tap0"],
      ["bridge", "k6t-eth0"],
      ["podInterface", "eth0"],
    ],
  );
  assert.deepEqual(
    path?.links[2]?.addresses.filter((cidr) => !cidr.startsWith("fe80:")),
    ["10.244.0.7/24"],
  );
});

test("each interface of a pod has its own way", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  node.addSecondInterface(pod, "10.245.0.7");
  const interfaces = [announce(), announce({ name: "storage", podInterface: "net1" })];
  const options = optionsFor(node, pod, { interfaces });
  await serve(node, pod, options);
  const { interfaces: paths } = await inspectNetwork(options);
  assert.deepEqual(
    paths.map(({ name, links, dropped }) => [
      name,
      links[0]?.name,
      dropped.every(({ chain }) => chain !== ""),
    ]),
    [
      ["default", "tap0", true],
      ["storage", "tap1", true],
    ],
  );
  assert.ok(paths[0]?.dropped.every(({ chain }) => !/net1|tap1/.test(chain)));
});
