/** Announcements on a pod network, and the guard's refusals as the kernel tells them; needs root. */
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { describe, test } from "node:test";
import { pino } from "pino";
import type { InterfaceAttachment } from "../../../api/pod-interface.ts";
import { arp, udp } from "../frames.fixture.ts";
import { packets, until } from "../guest.fixture.ts";
import { announce, announceMasquerade, inside, Node, optionsFor, type Pod } from "../pod.fixture.ts";
import { wireNetwork } from "../wire.ts";
import { watchNetwork } from "./watch.ts";

const LAST_HOLDER = "02:de:ad:00:00:01";
const MAC = "02:00:00:00:00:07";

interface Watch extends AsyncDisposable {
  readonly lines: readonly Readonly<Record<string, unknown>>[];
}

function watch(node: Node, pod: Pod, attachments: readonly InterfaceAttachment[]): Watch {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug", base: null },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
  const controller = new AbortController();
  const { netns, hostNetns, podUid } = optionsFor(node, pod);
  const done = watchNetwork({ netns, hostNetns, podUid, attachments, log, signal: controller.signal });
  return {
    lines,
    [Symbol.asyncDispose]: () => {
      controller.abort();
      return done;
    },
  };
}

/** What a namespace holds for an address's MAC. */
function neighbour(netns: string, address: string, device: string): string {
  return inside(netns, `ip neighbour show ${address} dev ${device}`);
}

/** As if another pod had held the addresses a moment ago, and talked to everybody. */
function poison(netns: string, device: string, ...addresses: readonly string[]): void {
  for (const address of addresses) {
    inside(netns, `ip neighbour replace ${address} lladdr ${LAST_HOLDER} nud reachable dev ${device}`);
  }
}

describe("the guest's address", () => {
  test("is told to node and pods that knew its last holder, before any guest runs", async () => {
    await using node = new Node();
    const [pod, other] = [node.addPod("10.244.0.7"), node.addPod("10.244.0.8")];
    for (const [netns, device, address] of [
      [node.netns, "cni0", "fd00::1"],
      [pod.netns, "eth0", "fd00::7"],
      [other.netns, "eth0", "fd00::8"],
    ] as const) {
      inside(netns, `ip address add ${address}/64 dev ${device} nodad`);
    }
    poison(node.netns, "cni0", "10.244.0.7", "fd00::7");
    poison(other.netns, "eth0", "10.244.0.7", "fd00::7");
    const startMs = performance.now();
    const attachments = await wireNetwork(
      optionsFor(node, pod, { interfaces: [announce({ macAddress: MAC })] }),
    );
    await using watching = watch(node, pod, attachments);
    for (const [netns, device] of [
      [node.netns, "cni0"],
      [other.netns, "eth0"],
    ] as const) {
      for (const address of ["10.244.0.7", "fd00::7"]) {
        await until(() => neighbour(netns, address, device).includes(MAC), `${netns} knows ${address}`);
      }
    }
    await until(() => watching.lines.some(({ answered }) => answered === true), "the gateway has answered");
    const [line] = watching.lines;
    assert.ok(
      Number(line?.["durationMs"]) < 1000 && performance.now() - startMs < 5000,
      JSON.stringify(line),
    );
  });

  test("is told again until the node's port forwards", async () => {
    await using node = new Node();
    const pod = node.addPod("10.244.0.7");
    const attachments = await wireNetwork(optionsFor(node, pod));
    const [attachment] = attachments;
    const port = () => inside(node.netns, "ip -details link show dev veth0");
    // A spanning tree listens and learns for two seconds each, the least that it can.
    inside(node.netns, "ip link set dev cni0 type bridge stp_state 1 forward_delay 200");
    inside(node.netns, "ip link set dev veth0 down");
    inside(node.netns, "ip link set dev veth0 up");
    await until(() => port().includes("state listening"), "the port comes up");
    poison(node.netns, "cni0", "10.244.0.7");
    await using watching = watch(node, pod, attachments);
    await until(() => port().includes("state learning"), "the port learns");
    assert.match(neighbour(node.netns, "10.244.0.7", "cni0"), new RegExp(LAST_HOLDER));
    await until(() => watching.lines.some(({ answered }) => answered === true), "the gateway has answered");
    assert.match(
      neighbour(node.netns, "10.244.0.7", "cni0"),
      new RegExp(attachment?.guest.macAddress ?? "none"),
    );
  });

  test("behind masquerade is the pod's, and told with the pod's MAC", async () => {
    await using node = new Node();
    const pod = node.addPod("10.244.0.7");
    poison(node.netns, "cni0", "10.244.0.7");
    const interfaces = [announceMasquerade()];
    const attachments = await wireNetwork(optionsFor(node, pod, { interfaces }));
    await using watching = watch(node, pod, attachments);
    await until(() => watching.lines.some(({ answered }) => answered === true), "the gateway has answered");
    const mac = inside(pod.netns, "cat /sys/class/net/eth0/address").trim();
    assert.match(neighbour(node.netns, "10.244.0.7", "cni0"), new RegExp(mac));
  });
});

describe("what the guard refuses", () => {
  test("is told with rule, interface, MACs and addresses", async () => {
    await using node = new Node();
    const pod = node.addPod("10.244.0.7");
    const attachments = await wireNetwork(
      optionsFor(node, pod, { interfaces: [announce({ macAddress: MAC })] }),
    );
    await using watching = watch(node, pod, attachments);
    const { inject } = await node.plugGuest(pod, "tap0", MAC);
    const told = (rule: string) => watching.lines.find((line) => line["rule"] === rule);
    const claim = arp(MAC, {
      operation: "reply",
      senderMac: MAC,
      sender: "10.244.0.1",
      target: "10.244.0.8",
    });
    await until(() => {
      inject(claim);
      return packets(pod, "from-tap0", "foreign-arp") > 0 && told("foreign-arp") !== undefined;
    }, "the claim is told");
    const { from, to, etherType, sourceAddress, destinationAddress, ...rest } = told("foreign-arp") ?? {};
    assert.deepEqual(
      [from, to, etherType, sourceAddress, destinationAddress],
      [MAC, "ff:ff:ff:ff:ff:ff", "0x0806", "10.244.0.1", "10.244.0.8"],
    );
    assert.equal(rest["interface"], "default");

    inject(udp(MAC, { from: "10.244.0.66", to: "10.244.0.8", fromPort: 1, toPort: 2 }));
    await until(() => told("foreign-address") !== undefined, "the foreign address is told");
    assert.equal(told("foreign-address")?.["sourceAddress"], "10.244.0.66");
  });

  test("is told a few times however much it is, and counted wholly", async () => {
    await using node = new Node();
    const pod = node.addPod("10.244.0.7");
    const attachments = await wireNetwork(
      optionsFor(node, pod, { interfaces: [announce({ macAddress: MAC })] }),
    );
    await using watching = watch(node, pod, attachments);
    const { inject } = await node.plugGuest(pod, "tap0", MAC);
    const flood = 3000;
    for (let i = 0; i < flood; i++)
      inject(udp("02:00:00:00:00:99", { from: "10.244.0.7", to: "10.244.0.8", fromPort: 1, toPort: 2 }));
    await until(() => packets(pod, "from-tap0", "foreign-mac") === flood, "every frame is counted");
    await until(() => watching.lines.some(({ rule }) => rule === "foreign-mac"), "it is told");
    // Three at once and one in ten seconds: the flood is over in less than twenty.
    const told = watching.lines.filter(({ rule }) => rule === "foreign-mac").length;
    assert.ok(told >= 1 && told <= 5, String(told));
  });
});

test("watching holds nothing once it has ended, and the agent stays in its own namespace", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const attachments = await wireNetwork(optionsFor(node, pod));
  const own = readlinkSync("/proc/thread-self/ns/net");
  const sockets = () => readdirSync("/proc/self/fd").length;
  const before = sockets();
  for (let i = 0; i < 20; i++) {
    await using _ = watch(node, pod, attachments);
    await until(() => sockets() > before, "it has begun");
    assert.equal(readlinkSync("/proc/thread-self/ns/net"), own);
  }
  await until(() => sockets() <= before, "every socket is closed");
});

test("a namespace without the links, or no namespace at all, is told and ends nothing", async () => {
  await using node = new Node();
  const pod = node.addPod("10.244.0.7");
  const attachments = await wireNetwork(optionsFor(node, pod));
  {
    const bare = node.makePod();
    await using watching = watch(node, bare, attachments);
    await until(() => watching.lines.length > 0, "it is told");
    assert.match(String(watching.lines[0]?.["msg"]), /can't announce/);
  }
  await using watching = watch(node, { netns: pod.netns, path: "/run/netns/none" }, attachments);
  await until(() => watching.lines.length > 0, "it is told");
  assert.match(String(watching.lines[0]?.["msg"]), /can't watch/);
});
