/** Real namespaces, links and rules; needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { changeLinks, loadGuard, readNetwork } from "./apply.ts";
import { linkDifferences } from "./difference.ts";
import { discoverInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";
import { parseLoadedRules } from "./guard.ts";
import { type Namespace, openNamespace } from "./namespace.ts";
import { planNetwork } from "./plan.ts";
import { announce, type Guest, inside, Node, type Pod, succeeds } from "./pod.fixture.ts";
import { loadState, saveState } from "./state.ts";
import type { WireOptions } from "./types.ts";
import { forgetNetwork, observeNetwork, wireNetwork } from "./wire.ts";

const SERVE = new URL("../../launcher/dhcp/serve.fixture.ts", import.meta.url).pathname;
const LINE_DEADLINE_MS = 20_000;
const RESOLV_CONF = "search team.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n";

function optionsFor(node: Node, pod: Pod, overrides: Partial<WireOptions> = {}): WireOptions {
  return {
    netns: pod.path,
    hostNetns: node.path,
    podUid: `pod-${pod.netns}`,
    interfaces: [announce()],
    stateDirectory: node.stateDirectory,
    ...overrides,
  };
}

async function wireOne(options: WireOptions): Promise<InterfaceAttachment> {
  const [attachment] = await wireNetwork(options);
  assert.ok(attachment);
  return attachment;
}

function packets(pod: Pod, chain: string, name: string): number {
  const rules = parseLoadedRules(inside(pod.netns, "nft --json list ruleset"));
  const rule = rules.find((candidate) => candidate.chain === chain && candidate.name === name);
  assert.ok(rule?.packets !== undefined, `${chain} ${name}`);
  return rule.packets;
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
  await forgetNetwork(options.podUid, options.stateDirectory);
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

test("several queues make a tap that several threads can share", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  await wireOne(optionsFor(node, pod, { interfaces: [announce({ queues: 2 })] }));
  assert.match(inside(pod.netns, "ip -details link show dev tap0"), /multi_queue numqueues/);
});

interface Served {
  readonly attachment: InterfaceAttachment;
  readonly guest: Guest;
  /** The next line that the DHCP server's process says. */
  next(): Promise<Record<string, unknown>>;
  counters(): Promise<Record<string, number>>;
}

/** A wired pod with a DHCP server as a launcher runs it, and a guest without an address. */
async function serve(node: Node, pod: Pod, guestMac?: string): Promise<Served> {
  const interfaces = [announce(guestMac === undefined ? {} : { macAddress: guestMac })];
  const attachment = await wireOne(optionsFor(node, pod, { interfaces }));
  inside(pod.netns, "sysctl -qw net.ipv4.ip_unprivileged_port_start=0");
  const source = { attachment, resolvConf: RESOLV_CONF, hostname: "machine", namespace: "team" };
  const child = spawn(
    "nsenter",
    [
      `--net=${pod.path}`,
      "--",
      ...["setpriv", "--reuid=107", "--regid=107", "--clear-groups", "--no-new-privs"],
      ...["--inh-caps=-all", "--bounding-set=-all", process.execPath, SERVE, JSON.stringify([source])],
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  node.adopt(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const line = await Promise.race([lines.next(), once(AbortSignal.timeout(LINE_DEADLINE_MS), "abort")]);
    assert.ok("value" in line, "the DHCP server said nothing");
    const { value, done } = line;
    assert.ok(done !== true, "the DHCP server ended");
    return JSON.parse(value);
  };
  assert.deepEqual(await next(), { listening: true, uid: 107 });
  const guest = await node.plugGuest(pod, "tap0", attachment.guest.macAddress, attachment.podInterface.mtu);
  const counters = async () => {
    child.stdin.write("\n");
    const line = await next();
    return line["counters"] as Record<string, number>;
  };
  return { attachment, guest, next, counters };
}

/** Has busybox's client take a lease and configure the guest, without staying. */
function takeLease(guest: Guest, ...more: readonly string[]): string {
  const script = new URL("./udhcpc.fixture.sh", import.meta.url).pathname;
  return inside(
    guest.netns,
    ["busybox udhcpc -f -q -n -i eth0 -t 5 -T 1 -O 121 -s", script, ...more].join(" "),
  );
}

describe("a guest behind a wired pod", () => {
  let node: Node;
  let pod: Pod;
  let neighbour: Pod;
  let served: Served;

  before(async () => {
    node = new Node();
    pod = node.addPod("10.244.0.7");
    neighbour = node.addPod("10.244.0.8");
    served = await serve(node, pod);
  });
  after(() => node[Symbol.asyncDispose]());

  test("gets the pod's address from a server without capabilities, and is reached from node and pods", async () => {
    takeLease(served.guest);
    assert.deepEqual(await served.next(), {
      leased: {
        interfaceName: "default",
        macAddress: served.attachment.guest.macAddress,
        address: "10.244.0.7",
      },
    });
    assert.match(inside(served.guest.netns, "ip address show dev eth0"), /inet 10\.244\.0\.7\/24/);
    assert.match(inside(served.guest.netns, "ip route"), /default via 10\.244\.0\.1/);
    for (const netns of [node.netns, neighbour.netns]) {
      assert.ok(succeeds(netns, "busybox ping -c 1 -W 5 10.244.0.7"), netns);
    }
    assert.ok(succeeds(served.guest.netns, "busybox ping -c 1 -W 5 10.244.0.8"));
  });

  test("renews by unicast to a server that it holds for off-link", async () => {
    const before = packets(pod, "from-tap0", "to-launcher");
    const { netns } = served.guest;
    const client = spawn(
      "ip",
      ["netns", "exec", netns, "busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/bin/true"],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    node.adopt(client);
    const said = createInterface({ input: client.stderr })[Symbol.asyncIterator]();
    const hear = async (pattern: RegExp): Promise<void> => {
      for (let line = await said.next(); line.done !== true; line = await said.next()) {
        if (pattern.test(line.value)) return;
      }
      assert.fail(`the client ended before it said ${pattern}`);
    };
    await hear(/lease of 10\.244\.0\.7 obtained/);
    assert.ok("leased" in (await served.next()));
    client.kill("SIGUSR1");
    assert.ok("leased" in (await served.next()));
    await hear(/lease of 10\.244\.0\.7 obtained/);
    assert.ok(packets(pod, "from-tap0", "to-launcher") > before);
    const ended = once(client, "exit");
    client.kill("SIGTERM");
    await ended;
  });

  test("asks in vain for anything else of the launcher, while the launcher reaches it", async () => {
    const dropped = packets(pod, "from-k6t-eth0", "other");
    assert.ok(!succeeds(served.guest.netns, "busybox nc -w 1 169.254.75.10 67"));
    assert.ok(!succeeds(served.guest.netns, "busybox ping -c 1 -W 1 169.254.75.10"));
    assert.ok(packets(pod, "from-k6t-eth0", "other") >= dropped + 2);
    const listener = spawn("ip", [
      "netns",
      "exec",
      served.guest.netns,
      "busybox",
      "nc",
      "-l",
      "-p",
      "8080",
      "-e",
      "/bin/echo",
      "hello",
    ]);
    node.adopt(listener);
    await until(() => isListening(served.guest.netns, 8080), "the guest listens");
    assert.equal(inside(pod.netns, "busybox nc -w 5 10.244.0.7 8080"), "hello\n");
  });

  test("can't speak with another MAC, another address or IPv6", () => {
    const { netns } = served.guest;
    const { macAddress } = served.attachment.guest;
    const drops = (name: string, chain = "from-tap0"): number => packets(pod, chain, name);
    const expectDrop = (name: string, attempt: () => void): void => {
      const before = drops(name);
      attempt();
      assert.ok(drops(name) > before, name);
    };
    const silent = (command: string): void => assert.ok(!succeeds(netns, command), command);

    expectDrop("foreign-address", () => {
      inside(netns, "ip address add 10.244.0.66/24 dev eth0");
      silent("busybox ping -c 1 -W 1 -I 10.244.0.66 10.244.0.8");
    });
    expectDrop("foreign-arp", () => {
      inside(netns, "ip neighbour flush dev eth0");
      silent("busybox arping -c 1 -w 1 -I eth0 -s 10.244.0.66 10.244.0.8");
      inside(netns, "ip address del 10.244.0.66/24 dev eth0");
    });
    expectDrop("other-protocol", () => {
      inside(netns, "ip address add fd00::7/64 dev eth0 nodad");
      silent("busybox ping -6 -c 1 -W 1 fd00::8");
      inside(netns, "ip address del fd00::7/64 dev eth0");
    });
    expectDrop("foreign-mac", () => {
      inside(netns, "ip link set dev eth0 address 02:00:00:00:00:66");
      silent("busybox ping -c 1 -W 1 10.244.0.8");
      inside(netns, `ip link set dev eth0 address ${macAddress}`);
    });
    assert.ok(succeeds(netns, "busybox ping -c 1 -W 5 10.244.0.8"), "its own MAC and address still pass");
  });

  test("can't hide its own valid packets in a VLAN, nor a foreign one behind a second tag", async () => {
    const { inject } = served.guest;
    const mac = Buffer.from(served.attachment.guest.macAddress.replaceAll(":", ""), "hex");
    const broadcast = Buffer.alloc(6, 0xff);
    const ipv4 = Buffer.from("4500001c000000004011000000000000ffffffff00070007000800000000", "hex");
    Buffer.from([10, 244, 0, 7]).copy(ipv4, 12);
    for (const tag of ["81000005", "88a80005", "8100000581000006"]) {
      const dropped = packets(pod, "from-tap0", "vlan");
      const passed = packets(pod, "from-tap0", "own-address");
      inject(Buffer.concat([broadcast, mac, Buffer.from(`${tag}0800`, "hex"), ipv4]));
      await until(() => packets(pod, "from-tap0", "vlan") > dropped, `tag ${tag} is dropped`);
      assert.equal(packets(pod, "from-tap0", "own-address"), passed, tag);
    }
  });

  test("is alone with its DHCP server: nothing of DHCP crosses the uplink", async () => {
    const script = "/bin/true";
    const before = await served.counters();
    const outwards = packets(pod, "to-eth0-nic", "dhcp");
    const inwards = packets(pod, "from-eth0-nic", "dhcp");
    takeLease(served.guest);
    assert.ok("leased" in (await served.next()));
    assert.ok(packets(pod, "to-eth0-nic", "dhcp") > outwards, "the guest's broadcasts stay inside");
    assert.ok(!succeeds(node.netns, `busybox udhcpc -f -q -n -i cni0 -t 1 -T 1 -s ${script}`));
    assert.ok(packets(pod, "from-eth0-nic", "dhcp") > inwards, "the node's broadcasts stay outside");
    const { foreignClient = 0 } = await served.counters();
    assert.equal(foreignClient, before["foreignClient"] ?? 0);
  });
});

/** Looks again and again at what the kernel has no event for. */
async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `in vain waited until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function isListening(netns: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return inside(netns, "cat /proc/net/tcp /proc/net/tcp6").includes(`:${hex} 0`);
}

test("a guest behind a /32 and a gateway that is no neighbour (Calico) gets both routes and reaches the node", async () => {
  await using node = new Node();
  const pod = node.addRoutedPod("192.168.7.9");
  const { guest, next } = await serve(node, pod);
  takeLease(guest);
  assert.ok("leased" in (await next()));
  const routes = inside(guest.netns, "ip route");
  assert.match(routes, /169\.254\.1\.1 dev eth0 scope link/);
  assert.match(routes, /default via 169\.254\.1\.1 dev eth0/);
  assert.match(inside(guest.netns, "ip address show dev eth0"), /inet 192\.168\.7\.9\/32/);
  assert.ok(succeeds(guest.netns, "busybox ping -c 1 -W 5 10.244.0.1"));
  assert.ok(succeeds(node.netns, "busybox ping -c 1 -W 5 192.168.7.9"));
});

test("a guest with a MAC of its own is served and reached", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const { guest, next } = await serve(node, pod, "52:54:00:ab:cd:ef");
  takeLease(guest);
  assert.ok("leased" in (await next()));
  assert.ok(succeeds(node.netns, "busybox ping -c 1 -W 5 10.244.0.7"));
});
