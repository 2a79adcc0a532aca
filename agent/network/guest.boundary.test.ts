/** A guest behind a wired pod, its DHCP server as a launcher runs it, and the guard between; needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { packets, type Served, serve, takeLease, until, untilRefused } from "./guest.fixture.ts";
import { announce, inside, Node, optionsFor, type Pod, succeeds } from "./pod.fixture.ts";

describe("a guest behind a wired pod", () => {
  let node: Node;
  let pod: Pod;
  let neighbour: Pod;
  let served: Served;

  before(async () => {
    node = new Node();
    pod = node.addPod("10.244.0.7");
    neighbour = node.addPod("10.244.0.8");
    served = await serve(node, pod, optionsFor(node, pod));
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
    // The lease that was told may be the first one's again: a client that waited too long has asked twice.
    await until(() => packets(pod, "from-tap0", "to-launcher") > before, "the unicast has come by");
    const ended = once(client, "exit");
    client.kill("SIGTERM");
    await ended;
  });

  test("asks in vain for anything else of the launcher, while the launcher reaches it", async () => {
    const { netns } = served.guest;
    const asks = (): void => {
      assert.ok(!succeeds(netns, "busybox nc -w 1 169.254.75.10 67"));
      assert.ok(!succeeds(netns, "busybox ping -c 1 -W 1 169.254.75.10"));
    };
    await untilRefused(pod, "other", asks, { chain: "from-k6t-eth0", times: 2 });
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

  test("can't speak with another MAC, another address or IPv6", async () => {
    const { netns } = served.guest;
    const { macAddress } = served.attachment.guest;
    const silent = (command: string): void => assert.ok(!succeeds(netns, command), command);

    await untilRefused(pod, "foreign-address", () => {
      inside(netns, "ip address add 10.244.0.66/24 dev eth0");
      silent("busybox ping -c 1 -W 1 -I 10.244.0.66 10.244.0.8");
    });
    await untilRefused(pod, "foreign-arp", () => {
      inside(netns, "ip neighbour flush dev eth0");
      silent("busybox arping -c 1 -w 1 -I eth0 -s 10.244.0.66 10.244.0.8");
      inside(netns, "ip address del 10.244.0.66/24 dev eth0");
    });
    await untilRefused(pod, "ipv6", () => {
      inside(netns, "ip address add fd00::7/64 dev eth0 nodad");
      silent("busybox ping -6 -c 1 -W 1 fd00::8");
      inside(netns, "ip address del fd00::7/64 dev eth0");
    });
    await untilRefused(pod, "foreign-mac", () => {
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

function isListening(netns: string, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return inside(netns, "cat /proc/net/tcp /proc/net/tcp6").includes(`:${hex} 0`);
}

test("a guest behind a /32 and a gateway that is no neighbour (Calico) gets both routes and reaches the node", async () => {
  await using node = new Node();
  const pod = node.addRoutedPod("192.168.7.9");
  const { guest, next } = await serve(node, pod, optionsFor(node, pod));
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
  const interfaces = [announce({ macAddress: "52:54:00:ab:cd:ef" })];
  const { guest, next } = await serve(node, pod, optionsFor(node, pod, { interfaces }));
  takeLease(guest);
  assert.ok("leased" in (await next()));
  assert.ok(succeeds(node.netns, "busybox ping -c 1 -W 5 10.244.0.7"));
});
