/** A guest behind its pod's IPv6 address: router advertisements, DHCPv6 and rewriting in real namespaces; needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pino } from "pino";
import { ALL_NODES, icmpv6, neighbourAdvertisement, routerAdvertisement, udp } from "./frames.fixture.ts";
import { packets, type Served, serve, until } from "./guest.fixture.ts";
import { announceMasquerade, inside, Node, optionsFor, type Pod, succeeds } from "./pod.fixture.ts";
import { advertisementOf, listenToRouters, router } from "./router.fixture.ts";
import { parseLoadedRules } from "./ruleset.ts";
import { watchNetwork } from "./watch/watch.ts";
import { observeNetwork, wireNetwork } from "./wire.ts";

const POD = "fd00::7";
const NEIGHBOUR = "fd00::8";
const GUEST = "fd10:0:2::2";
const GATEWAY = "fd10:0:2::1";
const MAC = "02:00:00:00:00:07";
const LINK_LOCAL = "fe80::ff:fe00:7";

const pings = (netns: string, address: string, seconds = 5) =>
  succeeds(netns, `busybox ping -6 -c 1 -W ${seconds} ${address}`);

/** What a rule of IPv6's own tables has counted. */
function packets6(pod: Pod, chain: string, name: string): number {
  const rules = parseLoadedRules(inside(pod.netns, "nft --json list table ip6 virtpod"));
  const rule = rules.find((candidate) => candidate.chain === chain && candidate.name === name);
  assert.ok(rule?.packets !== undefined, `${chain} ${name}`);
  return rule.packets;
}

/** Each by its own commands, run in the folder with /run and /var/lib of its own. */
const CLIENTS: Readonly<Record<string, (folder: string) => string>> = {
  dhclient: (folder) => {
    // Its own script wants a whole Debian around it.
    const lines = [
      "#!/bin/sh",
      '[ -z "$new_ip6_address" ] || ip -6 address replace $new_ip6_address/128 dev eth0 nodad',
    ];
    writeFileSync(join(folder, "dhclient.sh"), `${lines.join("\n")}\n`, { mode: 0o755 });
    const files = `-lf /run/leases -pf /run/pid -cf /dev/null -sf ${folder}/dhclient.sh`;
    return `exec dhclient -6 -1 -d ${files} eth0`;
  },
  dhcpcd: (folder) => {
    writeFileSync(join(folder, "dhcpcd.conf"), "noipv4\nslaac hwaddr\nia_na\n");
    return `chmod 755 ${folder}; exec dhcpcd -6 -B -q -f ${folder}/dhcpcd.conf -c /bin/true eth0`;
  },
  "systemd-networkd": (folder) => {
    const unit =
      "[Match]\nName=eth0\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=yes\nLinkLocalAddressing=ipv6\n" +
      "IPv6LinkLocalAddressGenerationMode=eui64\nIPv6DuplicateAddressDetection=0\n";
    writeFileSync(join(folder, "eth0.network"), unit);
    return [
      "mkdir -p /run/systemd/network /run/systemd/netif",
      "chown -R systemd-network /run/systemd/netif",
      `cp ${folder}/eth0.network /run/systemd/network/`,
      // Where /sys can't be written to, nobody waits for udev.
      "mount -o remount,bind,ro /sys",
      "exec /usr/lib/systemd/systemd-networkd",
    ].join("; ");
  },
};

/** `ip netns exec` has made the mounts its own. */
function withOwnFolders(script: string): string[] {
  return ["sh", "-ec", `mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; ${script}`];
}

const routesOf = (netns: string) => inside(netns, "ip -6 route show default");
const addressesOf = (netns: string) => inside(netns, "ip -6 -o address show dev eth0 scope global");

async function answer(node: Node, netns: string, port: number, word: string): Promise<void> {
  const server = `busybox nc -ll -p ${port} -e /bin/echo ${word}`;
  node.adopt(spawn("ip", ["netns", "exec", netns, ...server.split(" ")], { stdio: "ignore" }));
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  await until(() => inside(netns, "cat /proc/net/tcp6").includes(`:${hex} 0`), `${netns} listens on ${port}`);
}

function ask(netns: string, address: string, port: number): string | undefined {
  try {
    return inside(netns, `busybox nc -w 5 ${address} ${port}`).trim();
  } catch {
    return undefined;
  }
}

describe("a guest behind masquerade, of a pod with IPv6", () => {
  let node: Node;
  let pod: Pod;
  let neighbour: Pod;
  let served: Served;
  const watching = new AbortController();
  let watched: Promise<void>;

  before(async () => {
    node = new Node();
    inside(node.netns, "ip address add fd00::1/64 dev cni0 nodad");
    pod = node.addPod("10.244.0.7", 1400);
    neighbour = node.addPod("10.244.0.8");
    inside(pod.netns, `ip address add ${POD}/64 dev eth0 nodad`);
    inside(neighbour.netns, `ip address add ${NEIGHBOUR}/64 dev eth0 nodad`);
    const options = optionsFor(node, pod, {
      interfaces: [announceMasquerade({ ports: [{ protocol: "TCP", port: 80 }] })],
    });
    served = await serve(node, pod, options);
    assert.deepEqual(await observeNetwork(options), []);
    assert.deepEqual(await wireNetwork(options), [served.attachment]);
    const { netns, hostNetns, podUid } = options;
    const log = pino({ level: "silent" });
    const attachments = [served.attachment];
    watched = watchNetwork({ netns, hostNetns, podUid, attachments, log, signal: watching.signal });
  });
  after(async () => {
    watching.abort();
    await watched;
    await node[Symbol.asyncDispose]();
  });

  /** Without addresses; a host asks for routers when its link comes up, and has its link-local address from then on. */
  function reset(netns: string): void {
    inside(netns, "ip -6 address flush dev eth0");
    inside(netns, "ip -6 route flush dev eth0");
    inside(netns, "ip link set dev eth0 down");
    inside(netns, "ip link set dev eth0 up");
  }

  for (const [name, command] of Object.entries(CLIENTS)) {
    test(`has its router and its address by ${name}`, async () => {
      const { netns } = served.guest;
      inside(netns, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_ra=2");
      inside(netns, "sysctl -qw net.ipv6.conf.eth0.addr_gen_mode=0 net.ipv6.conf.eth0.accept_dad=0");
      reset(netns);
      const client = spawn("ip", ["netns", "exec", netns, ...withOwnFolders(command(node.stateDirectory))], {
        stdio: "ignore",
      });
      node.adopt(client);
      assert.deepEqual(await served.next(), { leased6: { interfaceName: "default" } });
      await until(() => addressesOf(netns).includes(`${GUEST}/128`), "the guest has its address");
      await until(() => routesOf(netns).includes("via fe80::1"), "the guest has its router");
      assert.ok(pings(netns, NEIGHBOUR), routesOf(netns));
      const ended = once(client, "exit");
      client.kill("SIGTERM");
      await ended;
    });
  }

  test("reaches its gateway, the node and other pods with the pod's address", () => {
    const { netns } = served.guest;
    reset(netns);
    inside(netns, `ip -6 address add ${GUEST}/128 dev eth0 nodad`);
    inside(netns, "ip -6 route replace default via fe80::1 dev eth0");
    assert.ok(pings(netns, GATEWAY));
    for (const address of ["fd00::1", NEIGHBOUR]) assert.ok(pings(netns, address), address);
    assert.ok(packets6(pod, "nat-postrouting", "from-guest") >= 2);
  });

  test("is reached at the pod's address, by its listed ports only, and by itself as well", async () => {
    const { netns } = served.guest;
    await answer(node, netns, 80, "listed");
    await answer(node, netns, 8080, "unlisted");
    for (const from of [node.netns, neighbour.netns, pod.netns, netns]) {
      assert.equal(ask(from, POD, 80), "listed", from);
    }
    assert.equal(ask(node.netns, POD, 8080), undefined);
    inside(node.netns, `ip route add ${GUEST}/128 via ${POD} dev cni0`);
    assert.ok(!pings(node.netns, GUEST, 1), "nobody gets past the pod's address");
  });

  test("is held to its address, its link-local one, and a host's words", async () => {
    const attacks = [
      ["foreign-address6", udp(MAC, { from: "fd10:0:2::9", to: ALL_NODES, fromPort: 9, toPort: 9 })],
      ["foreign-address6", udp(MAC, { from: POD, to: ALL_NODES, fromPort: 9, toPort: 9 })],
      ["foreign-nd", icmpv6(MAC, LINK_LOCAL, ALL_NODES, neighbourAdvertisement(GATEWAY, MAC))],
      ["router", icmpv6(MAC, LINK_LOCAL, ALL_NODES, routerAdvertisement("2001:db8::"))],
    ] as const;
    for (const [rule, frame] of attacks) {
      const before = packets(pod, "from-tap0", rule);
      served.guest.inject(frame);
      await until(() => packets(pod, "from-tap0", rule) > before, `${rule} is refused`);
    }
    const dropped = packets6(pod, "from-k6t-eth0", "other");
    assert.equal(ask(served.guest.netns, GATEWAY, 547), undefined);
    assert.ok(packets6(pod, "from-k6t-eth0", "other") > dropped);
  });

  test("is mended where its IPv6 was changed", async () => {
    const interfaces = [announceMasquerade({ ports: [{ protocol: "TCP", port: 80 }] })];
    const options = optionsFor(node, pod, { interfaces });
    for (const change of [
      "sysctl -qw net.ipv6.conf.all.forwarding=0",
      "ip address del fe80::1/64 dev k6t-eth0",
      `ip address del ${GATEWAY}/120 dev k6t-eth0`,
      "nft delete table ip6 virtpod",
    ]) {
      inside(pod.netns, change);
      assert.notDeepEqual(await observeNetwork(options), [], change);
      await wireNetwork(options);
      assert.deepEqual(await observeNetwork(options), [], change);
    }
    assert.ok(pings(served.guest.netns, NEIGHBOUR));
  });
});

test("a pod that has its route from routers keeps it as it becomes a router itself", async () => {
  await using node = new Node();
  using socket = await router(node);
  const pod = node.addPod("10.244.0.7");
  listenToRouters(pod.netns);
  await until(() => {
    socket.send(advertisementOf(node));
    return addressesOf(pod.netns).includes("2001:db8:");
  }, "the pod has an address");
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  await wireNetwork(options);
  assert.deepEqual(await observeNetwork(options), []);
  assert.match(inside(pod.netns, "ip -6 route show default"), /via fe80::1 dev eth0 proto ra/);
  socket.send(advertisementOf(node));
  assert.ok(pings(pod.netns, "2001:db8::1"));
});

test("a pod with an address in the guest's own subnet has none for the guest", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  inside(pod.netns, "ip address add fd10:0:2::77/64 dev eth0 nodad");
  const options = optionsFor(node, pod, { interfaces: [announceMasquerade()] });
  const [attachment] = await wireNetwork(options);
  assert.equal(attachment?.guest.subnet6, undefined);
  assert.equal(inside(pod.netns, "ip -6 address show dev k6t-eth0"), "");
});
