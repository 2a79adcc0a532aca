/** A guest behind its pod's address: real namespaces, links, rules and connection tracking; needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { changeLinks, loadGuard, readNetwork } from "./apply.ts";
import { linkDifferences } from "./difference.ts";
import { discoverInterface } from "./discover.ts";
import { packets, type Served, serve, takeLease, until, untilRefused } from "./guest.fixture.ts";
import { openNamespace } from "./namespace.ts";
import { planNetwork } from "./plan.ts";
import { announceMasquerade, inside, Node, optionsFor, type Pod, succeeds } from "./pod.fixture.ts";
import { saveState } from "./state.ts";
import { forgetOtherNetworks, observeNetwork, wireNetwork } from "./wire.ts";

const POD = "10.244.0.7";
const NEIGHBOUR = "10.244.0.8";
const GUEST = "10.0.2.2";
const GATEWAY = "10.0.2.1";

/** Answers every connection to a port with one word. */
async function answer(node: Node, netns: string, port: number, word: string): Promise<void> {
  const server = `busybox nc -ll -p ${port} -e /bin/echo ${word}`;
  node.adopt(spawn("ip", ["netns", "exec", netns, ...server.split(" ")], { stdio: "ignore" }));
  await until(() => isListening(netns, port), `${netns} listens on ${port}`);
}

function isListening(netns: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return inside(netns, "cat /proc/net/tcp /proc/net/tcp6").includes(`:${hex} 0`);
}

function ask(netns: string, address: string, port: number): string | undefined {
  try {
    return inside(netns, `busybox nc -w 5 ${address} ${port}`).trim();
  } catch {
    return undefined;
  }
}

function pings(netns: string, address: string, seconds = 5): boolean {
  return succeeds(netns, `busybox ping -c 1 -W ${seconds} ${address}`);
}

describe("a guest behind masquerade", () => {
  let node: Node;
  let pod: Pod;
  let neighbour: Pod;
  let served: Served;

  before(async () => {
    node = new Node();
    pod = node.addPod(POD, 1400);
    neighbour = node.addPod(NEIGHBOUR);
    served = await serve(node, pod, optionsFor(node, pod, { interfaces: [announceMasquerade()] }));
  });
  after(() => node[Symbol.asyncDispose]());

  test("is given the second host of its subnet, the first as router, and the pod's MTU", async () => {
    takeLease(served.guest);
    assert.deepEqual(await served.next(), {
      leased: { interfaceName: "default", macAddress: "02:00:00:00:00:07", address: GUEST },
    });
    const { netns } = served.guest;
    assert.match(inside(netns, "ip address show dev eth0"), /mtu 1400 .*inet 10\.0\.2\.2\/24/s);
    assert.match(inside(netns, "ip route"), /default via 10\.0\.2\.1/);
    assert.ok(pings(netns, GATEWAY));
  });

  test("renews its lease by unicast to its gateway", async () => {
    const client = spawn(
      "ip",
      ["netns", "exec", served.guest.netns, "busybox", "udhcpc", "-f", "-i", "eth0", "-s", "/bin/true"],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    node.adopt(client);
    const said = createInterface({ input: client.stderr })[Symbol.asyncIterator]();
    for (let line = await said.next(); line.done !== true; line = await said.next()) {
      if (/lease of 10\.0\.2\.2 obtained/.test(line.value)) break;
    }
    assert.ok("leased" in (await served.next()));
    const before = packets(pod, "from-tap0", "own-address");
    client.kill("SIGUSR1");
    assert.ok("leased" in (await served.next()));
    // The lease that was told may be the first one's again: a client that waited too long has asked twice.
    await until(() => packets(pod, "from-tap0", "own-address") > before, "the unicast has come by");
    const ended = once(client, "exit");
    client.kill("SIGTERM");
    await ended;
  });

  test("speaks to others with the pod's address, and is reached at it from node and pods", async () => {
    await answer(node, served.guest.netns, 8080, "guest");
    inside(neighbour.netns, "nft add table ip t");
    inside(neighbour.netns, "nft add chain ip t in { type filter hook input priority 0 ; }");
    inside(neighbour.netns, `nft add rule ip t in ip saddr != ${POD} drop`);
    assert.ok(pings(served.guest.netns, NEIGHBOUR), "only the pod's address is let in there");
    inside(neighbour.netns, "nft delete table ip t");
    for (const netns of [node.netns, neighbour.netns]) {
      assert.ok(pings(netns, POD), netns);
      assert.equal(ask(netns, POD, 8080), "guest", netns);
    }
  });

  test("is reached at 127.0.0.1 inside the pod, where kubectl port-forward dials", () => {
    assert.equal(ask(pod.netns, "127.0.0.1", 8080), "guest");
    assert.equal(ask(pod.netns, POD, 8080), "guest");
  });

  test("reaches itself under the pod's address", () => {
    assert.equal(ask(served.guest.netns, POD, 8080), "guest");
  });

  test("reaches nothing of the pod itself: neither its loopback nor its other ports", async () => {
    const { netns, inject } = served.guest;
    await answer(node, pod.netns, 9000, "launcher");
    const dropped = packets(pod, "from-k6t-eth0", "other");
    assert.equal(ask(netns, GATEWAY, 9000), undefined);
    assert.ok(packets(pod, "from-k6t-eth0", "other") > dropped);
    const gateway = Buffer.from("020000000000", "hex");
    const guest = Buffer.from("020000000007", "hex");
    const packet = Buffer.from("45000014000000004001000000000000000000000000", "hex").subarray(0, 20);
    Buffer.from([10, 0, 2, 2, 127, 0, 0, 1]).copy(packet, 12);
    const before = packets(pod, "from-tap0", "loopback");
    inject(Buffer.concat([gateway, guest, Buffer.from("0800", "hex"), packet]));
    await until(() => packets(pod, "from-tap0", "loopback") > before, "a packet to 127.0.0.1 is dropped");
  });

  test("can't speak with another MAC, another address, or under its own address past the rewriting", async () => {
    const { netns } = served.guest;
    await untilRefused(pod, "foreign-address", () => {
      inside(netns, "ip address add 10.0.2.66/24 dev eth0");
      assert.ok(!succeeds(netns, `busybox ping -c 1 -W 1 -I 10.0.2.66 ${NEIGHBOUR}`));
      inside(netns, "ip address del 10.0.2.66/24 dev eth0");
    });
    await untilRefused(pod, "foreign-mac", () => {
      inside(netns, "ip link set dev eth0 address 02:00:00:00:00:66");
      assert.ok(!pings(netns, GATEWAY, 1));
      inside(netns, "ip link set dev eth0 address 02:00:00:00:00:07");
    });
    assert.ok(pings(netns, NEIGHBOUR), "its own MAC and address still pass");
  });

  test("is not reached at its own address by someone who routes there past the pod's", () => {
    inside(neighbour.netns, `ip route add 10.0.2.0/24 via ${POD}`);
    const before = packets(pod, "in", "not-forwarded");
    assert.ok(!pings(neighbour.netns, GUEST, 1));
    assert.ok(packets(pod, "in", "not-forwarded") > before);
    inside(neighbour.netns, "ip route del 10.0.2.0/24");
  });
});

test("its pod is no router between its networks, and hears no DHCP but its guest's", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const neighbour = node.addPod(NEIGHBOUR);
  const host = node.addSecondInterface(pod, "10.77.0.7");
  inside(node.netns, `ip address add 10.77.0.1/24 dev ${host}`);
  await wireNetwork(optionsFor(node, pod, { interfaces: [announceMasquerade()] }));
  inside(neighbour.netns, `ip route add 10.77.0.0/24 via ${POD}`);
  assert.ok(!pings(neighbour.netns, "10.77.0.1", 1));
  assert.ok(packets(pod, "forward", "from-pod-network") > 0);
  assert.ok(!succeeds(neighbour.netns, "busybox udhcpc -f -n -q -t 1 -T 1 -i eth0 -s /bin/true"));
  assert.ok(packets(pod, "input", "dhcp") > 0);
});

test("a pod that is given a further address later is the same to an agent that has just started", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  const attachments = await wireNetwork(options);
  inside(pod.netns, "ip address add 10.244.0.99/24 dev eth0");
  assert.deepEqual(await wireNetwork(options), attachments);
});

test("with ports listed, the guest has those and the pod all others", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const ports = [{ protocol: "TCP", port: 8080 }] as const;
  const { guest, next } = await serve(
    node,
    pod,
    optionsFor(node, pod, { interfaces: [announceMasquerade({ ports })] }),
  );
  takeLease(guest);
  assert.ok("leased" in (await next()));
  for (const port of [8080, 8081]) await answer(node, guest.netns, port, "guest");
  for (const netns of [node.netns, guest.netns]) {
    assert.equal(ask(netns, POD, 8080), "guest", netns);
    assert.equal(ask(netns, POD, 8081), undefined, netns);
  }
  assert.equal(ask(pod.netns, "127.0.0.1", 8080), "guest");
  assert.equal(ask(pod.netns, "127.0.0.1", 8081), undefined);
  assert.ok(pings(node.netns, POD), "the pod answers");
});

test("a pod whose link knows no ARP has a guest behind it all the same", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const macOf = (netns: string, link: string) => inside(netns, `cat /sys/class/net/${link}/address`).trim();
  const [ofPod, ofNode] = [macOf(pod.netns, "eth0"), macOf(node.netns, "cni0")];
  inside(pod.netns, "ip link set dev eth0 arp off");
  inside(pod.netns, `ip neighbour replace 10.244.0.1 lladdr ${ofNode} nud permanent dev eth0`);
  inside(node.netns, `ip neighbour replace ${POD} lladdr ${ofPod} nud permanent dev cni0`);
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  const { guest, next } = await serve(node, pod, options);
  takeLease(guest);
  assert.ok("leased" in (await next()));
  assert.ok(pings(guest.netns, "10.244.0.1"));
  assert.ok(pings(node.netns, POD));
  assert.deepEqual(await observeNetwork(options), []);
});

test("wiring for masquerade takes four processes, leaves the pod's interface alone, and is found as planned", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  const eth0 = () => inside(pod.netns, "ip address show dev eth0");
  // Its link-local address, until nobody has objected to it.
  await until(() => !eth0().includes("tentative"), "eth0 has its addresses for good");
  const before = eth0();
  let processes = 0;
  const count = (): void => void processes++;
  subscribe("child_process", count);
  const [attachment] = await wireNetwork(options);
  assert.equal(processes, 4);
  assert.deepEqual((await wireNetwork(options))[0], attachment);
  assert.equal(processes, 4 + 3);
  unsubscribe("child_process", count);
  assert.deepEqual(await observeNetwork(options), []);
  assert.equal(eth0(), before);
  await forgetOtherNetworks(() => false, options.stateDirectory);
  assert.deepEqual((await wireNetwork(options))[0], attachment, "the record is not needed");
});

test("each change of a masqueraded pod's network is seen and mended", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  await wireNetwork(options);
  for (const change of [
    "nft flush ruleset",
    "nft flush chain ip virtpod nat-output",
    "sysctl -qw net.ipv4.conf.k6t-eth0.route_localnet=0",
    "sysctl -qw net.ipv4.conf.eth0.forwarding=0",
    "ip link del dev tap0",
    "ip link del dev k6t-eth0",
    "ip link set dev tap0 nomaster",
    "ip link set dev k6t-eth0 address 02:00:00:00:00:01",
    "ip neighbour del 10.0.2.2 dev k6t-eth0",
    "ip address del 10.0.2.1/24 dev k6t-eth0",
  ]) {
    inside(pod.netns, change);
    assert.notDeepEqual(await observeNetwork(options), [], change);
    await wireNetwork(options);
    assert.deepEqual(await observeNetwork(options), [], change);
  }
});

test("wiring for masquerade that was cut short after any command is finished", async () => {
  await using node = new Node();
  let commands = 1;
  for (let done = 0; done <= commands; done++) {
    const pod = node.addPod(`10.244.0.${10 + done}`);
    const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
    const { podUid, stateDirectory } = options;
    await using namespace = await openNamespace(pod.path, node.path, podUid);
    const observed = await readNetwork(namespace);
    const discovered = discoverInterface(observed, podUid, "eth0", "masquerade");
    const plan = planNetwork(podUid, [{ announced: announceMasquerade(), discovered }]);
    const batch = plan.interfaces.flatMap((planned) =>
      linkDifferences(observed, planned).flatMap((difference) => difference.commands),
    );
    commands = batch.length;
    const state = { version: 1, namespace: String(namespace.inode), interfaces: [discovered] } as const;
    await saveState(stateDirectory, podUid, state);
    if (done % 2 === 0) await loadGuard(namespace, plan.guard.text);
    if (done > 0) await changeLinks(namespace, batch.slice(0, done));
    await wireNetwork(options);
    assert.deepEqual(
      await observeNetwork(options),
      [],
      `cut after ${done} of ${commands}: ${batch[done - 1]}`,
    );
  }
  assert.ok(commands > 8, `only ${commands} commands were cut`);
});

test("a subnet that overlaps the pod's network is refused before anything is changed", async () => {
  await using node = new Node();
  const pod = node.addPod(POD);
  const before = inside(pod.netns, "ip -o link show");
  const interfaces = [announceMasquerade({ vmNetworkCidr: "10.244.0.0/25" })];
  await assert.rejects(wireNetwork(optionsFor(node, pod, { interfaces })), { code: "SubnetInUse" });
  assert.equal(inside(pod.netns, "ip -o link show"), before);
  assert.equal(inside(pod.netns, "nft list ruleset"), "");
});
