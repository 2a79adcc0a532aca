/** Real namespaces, links and rules; needs root. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { changeLinks, loadGuard, readNetwork } from "./apply.ts";
import { linkDifferences } from "./difference.ts";
import { discoverInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";
import { type Namespace, openNamespace } from "./namespace.ts";
import { planNetwork } from "./plan.ts";
import { announce, inside, Node, optionsFor } from "./pod.fixture.ts";
import { loadState, saveState } from "./state.ts";
import type { WireOptions } from "./types.ts";
import { forgetOtherNetworks, observeNetwork, wireNetwork } from "./wire.ts";

async function wireOne(options: WireOptions): Promise<InterfaceAttachment> {
  const [attachment] = await wireNetwork(options);
  assert.ok(attachment);
  return attachment;
}

async function rejects(promise: Promise<unknown>, code: string, pattern: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof NetworkError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });
}

test("a wired pod is as planned, and wiring it again changes nothing and tells the same", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7", 1400);
  const options = optionsFor(node, pod);
  const mac = inside(pod.netns, "cat /sys/class/net/eth0/address").trim();

  const attachment = await wireOne(options);
  assert.deepEqual(attachment.podInterface, {
    name: "eth0",
    macAddress: mac,
    mtu: 1400,
    addresses: ["10.244.0.7/24"],
    routes: [{ destination: "0.0.0.0/0", gateway: "10.244.0.1" }],
    neighbours: [],
  });
  assert.equal(attachment.guest.macAddress, mac);
  assert.deepEqual(await observeNetwork(options), []);

  const links = inside(pod.netns, "ip -o link show");
  assert.deepEqual(await wireOne(options), attachment);
  assert.equal(inside(pod.netns, "ip -o link show"), links);
});

test("a fresh pod takes four processes, and a wired one three that only read", async () => {
  await using node = new Node();
  const options = optionsFor(node, node.addPod("10.244.0.7"));
  let processes = 0;
  const count = (): void => void processes++;
  subscribe("child_process", count);
  await wireNetwork(options);
  assert.equal(processes, 4);
  await wireNetwork(options);
  assert.equal(processes, 4 + 3);
  unsubscribe("child_process", count);
});

test("rules that stand in a fresh pod already are replaced", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  inside(pod.netns, "nft add table bridge virtpod");
  inside(pod.netns, "nft add chain bridge virtpod from-tap0");
  inside(pod.netns, "nft add rule bridge virtpod from-tap0 counter accept");
  const options = optionsFor(node, pod);
  await wireNetwork(options);
  assert.deepEqual(await observeNetwork(options), []);
});

test("two interfaces of a pod are wired side by side", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  node.addSecondInterface(pod, "10.245.0.7");
  const interfaces = [announce(), announce({ name: "storage", podInterface: "net1" })];
  const options = optionsFor(node, pod, { interfaces });
  const attachments = await wireNetwork(options);
  assert.deepEqual(
    attachments.map(({ name, tap, bridge, podInterface }) => [
      name,
      tap.name,
      bridge.address,
      podInterface.addresses,
    ]),
    [
      ["default", "tap0", "169.254.75.10", ["10.244.0.7/24"]],
      ["storage", "tap1", "169.254.75.11", ["10.245.0.7/24"]],
    ],
  );
  assert.deepEqual(await observeNetwork(options), []);
  const twice = optionsFor(node, pod, { interfaces: [announce(), announce({ name: "again" })] });
  await rejects(wireNetwork(twice), "InvalidInterface", /two of the guest's interfaces/);
});

test("each change of a wired pod's network is seen and mended", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const options = optionsFor(node, pod);
  await wireOne(options);
  for (const change of [
    "nft flush ruleset",
    "nft delete table ip virtpod",
    "sysctl -qw net.ipv4.conf.k6t-eth0.rp_filter=0",
    "ip link del dev tap0",
    "ip link del dev k6t-eth0",
    "ip link set dev eth0-nic down",
    "ip link set dev eth0-nic nomaster",
    "ip link set dev eth0-nic type bridge_slave learning on",
    "ip link set dev tap0 mtu 1300",
    "ip link del dev eth0",
    "ip link set dev eth0 up",
    "ip route del 10.244.0.7 dev k6t-eth0",
    "ip neighbour del 10.244.0.7 dev k6t-eth0",
    "ip address del 169.254.75.10/32 dev k6t-eth0",
  ]) {
    inside(pod.netns, change);
    assert.notDeepEqual(await observeNetwork(options), [], change);
    await wireNetwork(options);
    assert.deepEqual(await observeNetwork(options), [], change);
  }
});

test("wiring that was cut short after any command is finished from the saved interface", async () => {
  await using node = new Node();
  let commands = 1;
  for (let done = 0; done <= commands; done++) {
    const pod = node.addPod(`10.244.0.${10 + done}`);
    const options = optionsFor(node, pod);
    const { podUid, stateDirectory } = options;
    await using namespace: Namespace = await openNamespace(pod.path, node.path, podUid);
    const observed = await readNetwork(namespace);
    const discovered = discoverInterface(observed, podUid, "eth0");
    const plan = planNetwork(podUid, [{ announced: announce(), discovered }]);
    const batch = plan.interfaces.flatMap((planned) =>
      linkDifferences(observed, planned).flatMap((difference) => difference.commands),
    );
    commands = batch.length;
    await saveState(stateDirectory, podUid, {
      version: 1,
      namespace: String(namespace.inode),
      interfaces: [discovered],
    });
    if (done % 2 === 0) await loadGuard(namespace, plan.guard.text);
    await changeLinks(namespace, batch.slice(0, done));

    const after = `cut after ${done} of ${commands}: ${batch[done - 1]}`;
    const attachment = await wireOne(options);
    assert.deepEqual(attachment.podInterface, discovered.podInterface, after);
    assert.deepEqual(await observeNetwork(options), [], after);
  }
  assert.ok(commands > 15, `only ${commands} commands were cut`);
});

test("the node's own namespace is refused and left alone", async () => {
  await using node = new Node();
  const before = inside(node.netns, "ip -o link show");
  const options = optionsFor(
    node,
    { netns: node.netns, path: node.path },
    { interfaces: [announce({ podInterface: "cni0" })] },
  );
  await rejects(wireNetwork(options), "HostNetwork", /node's network namespace/);
  assert.equal(inside(node.netns, "ip -o link show"), before);
});

test("an interface that can't be bridged is refused with its reason, before anything is changed", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  inside(pod.netns, "ip link add name bare type bridge");
  inside(pod.netns, "ip address add fd00::9/64 dev bare nodad");
  inside(pod.netns, "ip tuntap add dev tun9 mode tun");
  inside(pod.netns, "ip address add 10.9.9.9/24 dev tun9");
  const before = inside(pod.netns, "ip -o link show");
  const wire = (overrides: Parameters<typeof announce>[0]) =>
    wireNetwork(optionsFor(node, pod, { interfaces: [announce(overrides)] }));
  await rejects(wire({ podInterface: "eth7" }), "NoSuchInterface", /eth7: the pod has no such interface/);
  await rejects(wire({ podInterface: "bare" }), "NoIPv4Address", /bare: has no IPv4 address/);
  await rejects(wire({ podInterface: "tun9" }), "LayerThreeInterface", /tun9: has no Ethernet/);
  await rejects(wire({ podInterface: "eth0\nlink" }), "InvalidInterface", /must have a name/);
  await rejects(wire({ macAddress: "01:00:5e:00:00:01" }), "InvalidInterface", /unicast MAC/);
  await rejects(wire({ queues: 0 }), "InvalidInterface", /queues/);
  await rejects(wireNetwork(optionsFor(node, pod, { netns: "/run/netns/none" })), "NamespaceGone", /none/);
  assert.equal(inside(pod.netns, "ip -o link show"), before);
  assert.equal(inside(pod.netns, "nft list ruleset"), "");
});

test("a command that fails is named with its pod and what it said", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  await using namespace = await openNamespace(pod.path, node.path, "uid-1");
  const commands = ["link set dev eth0 mtu 1400", "link set dev eth9 up"];
  await rejects(
    changeLinks(namespace, commands),
    "CommandFailed",
    /^pod uid-1: .*eth9.*\(ip link set dev eth9 up\)$/s,
  );
  const controller = new AbortController();
  const hanging = namespace.run(["cat", "/dev/zero"], "", controller.signal);
  controller.abort();
  await rejects(hanging, "CommandFailed", /cat/);
  await rejects(namespace.run(["no-such-command"], ""), "CommandFailed", /no-such-command/);
  await rejects(namespace.run(["cat", "/dev/zero"], ""), "CommandFailed", /SIGKILL/);
});

test("a pod whose record is lost is refused rather than rewired from its placeholder", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const options = optionsFor(node, pod);
  await wireOne(options);
  await forgetOtherNetworks(() => false, options.stateDirectory);
  assert.deepEqual(readdirSync(options.stateDirectory), []);
  await rejects(wireNetwork(options), "StateLost", /delete the pod/);
});

test("a new sandbox of the same pod is discovered anew", async () => {
  await using node = new Node();
  const first = node.addPod("10.244.0.7");
  const options = optionsFor(node, first);
  await wireOne(options);
  const second = node.addPod("10.244.0.8");
  const attachment = await wireOne({ ...options, netns: second.path });
  assert.deepEqual(attachment.podInterface.addresses, ["10.244.0.8/24"]);
  const saved = await loadState(options.stateDirectory, options.podUid);
  assert.deepEqual(saved?.interfaces[0]?.podInterface, attachment.podInterface);
});

test("a wired tap is left alone, whether its owner has a name here or not, and one without an owner is not", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const options = optionsFor(node, pod);
  await wireOne(options);
  for (const [owner, kept] of [
    ["user 0", true],
    ["user 4294967", true],
    ["vnet_hdr", false],
  ] as const) {
    inside(pod.netns, "ip link del dev tap0");
    inside(pod.netns, `ip tuntap add dev tap0 mode tap ${owner}`);
    const index = (): string => inside(pod.netns, "cat /sys/class/net/tap0/ifindex");
    const before = index();
    await wireOne(options);
    assert.equal(index() === before, kept, owner);
  }
});

test("several queues make a tap that several threads can share", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  await wireOne(optionsFor(node, pod, { interfaces: [announce({ queues: 2 })] }));
  assert.match(inside(pod.netns, "ip -details link show dev tap0"), /multi_queue numqueues/);
});
