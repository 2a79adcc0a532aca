/**
 * What a gigabyte from a pod to a guest costs the node: a TCP stream from a pod on the node's bridge to a plain pod there,
 * and to network namespaces that stand for guests, behind pods that the agent has wired. Nobody reads a tap without a
 * guest, so a veth of the tap's name takes its place as the bridge's port, under the same rules.
 */
import { readdirSync, readFileSync } from "node:fs";
import { inside } from "../agent/network/lab.fixture.ts";
import { Node, optionsFor, type Pod } from "../agent/network/pod.fixture.ts";
import { parseLoadedRules } from "../agent/network/ruleset.ts";
import { wireNetwork } from "../agent/network/wire.ts";
import type { AnnouncedInterface } from "../api/uplink-protocol.ts";
import { clearing } from "../test/harness/interrupts.ts";
import type { Bench, LocalContext } from "./bench.ts";
import { Conversation } from "./conversation.ts";
import { median, rounded } from "./median.ts";
import type { Transfer } from "./network-traffic.ts";

const TRAFFIC = new URL("./network-traffic.ts", import.meta.url).pathname;
const PORT = 5001;
const GIB = 1024 ** 3;
const BYTES = 2 * GIB;
const ROUNDS_PER_RUN = 3;

export interface NetworkThroughputReport {
  /** CPU time of a byte to the guest's side, over that of a byte to a plain pod; medians over the rounds. */
  readonly bridgeCpuRatio: number;
  readonly masqueradeCpuRatio: number;
  readonly plainCpuSecondsPerGB: number;
  readonly bridgeCpuSecondsPerGB: number;
  readonly masqueradeCpuSecondsPerGB: number;
  readonly plainGbps: number;
  readonly bridgeGbps: number;
  readonly masqueradeGbps: number;
  readonly rounds: number;
}

export const networkThroughput: Bench<NetworkThroughputReport, LocalContext> = {
  name: "network-throughput",
  promises: [
    {
      name: "CPU of a byte by the bridge binding",
      atMost: 1.05,
      unit: "times a plain pod's",
      figure: ({ bridgeCpuRatio }) => bridgeCpuRatio,
    },
    {
      name: "CPU of a byte by the masquerade binding",
      atMost: 1.25,
      unit: "times a plain pod's",
      figure: ({ masqueradeCpuRatio }) => masqueradeCpuRatio,
    },
  ],
  run: measure,
};

const INTERFACE = { name: "default", podInterface: "eth0", queues: 1 } as const;
const BINDINGS: readonly AnnouncedInterface[] = [
  { ...INTERFACE, binding: "bridge" },
  { ...INTERFACE, binding: "masquerade", vmNetworkCidr: "10.0.2.0/24", ports: [] },
];

/** Where a stream can go. */
interface Target {
  readonly address: string;
  readonly receiver: Conversation;
  /** The pod whose rules it passes. */
  readonly pod: Pod;
}

interface Cost {
  readonly cpuSecondsPerGB: number;
  readonly gbps: number;
}

async function measure({ progress, runs, sabotage }: LocalContext): Promise<NetworkThroughputReport> {
  const conversations: Conversation[] = [];
  const node = new Node();
  await using _ = clearing(async () => {
    for (const one of conversations) await one.end();
    await node[Symbol.asyncDispose]();
  });
  const traffic = async (netns: string, role: "send" | "receive"): Promise<Conversation> => {
    // Each end has a CPU of its own: where the scheduler puts them would else be most of the difference.
    const cpu = role === "send" ? "0" : "1";
    const args = ["netns", "exec", netns, "taskset", "--cpu-list", cpu, process.execPath, ...QUIET, TRAFFIC];
    const started = Conversation.start("ip", [...args, role, String(PORT)]);
    conversations.push(started);
    await started.next();
    return started;
  };
  const sender = await traffic(node.addPod("10.244.0.2").netns, "send");
  const plain = node.addPod("10.244.0.3");
  const targets: Target[] = [
    { address: "10.244.0.3", pod: plain, receiver: await traffic(plain.netns, "receive") },
  ];
  for (const [index, binding] of BINDINGS.entries()) {
    const address = `10.244.0.${4 + index}`;
    const pod = node.addPod(address);
    const guest = await plugNamespace(node, pod, binding, sabotage);
    targets.push({ address, pod, receiver: await traffic(guest, "receive") });
  }
  for (const target of targets) await stream(sender, target);
  const rounds: (readonly Cost[])[] = [];
  for (let round = 1; round <= ROUNDS_PER_RUN * runs; round++) {
    const costs: Cost[] = [];
    // Each is the first as often as the others.
    for (let turn = 0; turn < targets.length; turn++) {
      const which = (round + turn) % targets.length;
      const target = targets[which];
      if (target !== undefined) costs[which] = await stream(sender, target);
    }
    rounds.push(costs);
    progress(`round ${round}: ${costs.map(({ gbps }) => rounded(gbps, 1)).join(", ")} Gbit/s`);
  }
  requireGuard(targets.slice(1));
  const figure = (which: number, of: (cost: Cost) => number, digits = 2) =>
    rounded(median(rounds.map((costs) => of(costs[which] ?? NOTHING))), digits);
  const ratio = (which: number) =>
    rounded(
      median(
        rounds.map(
          ([plainCost = NOTHING, ...others]) =>
            (others[which - 1] ?? NOTHING).cpuSecondsPerGB / plainCost.cpuSecondsPerGB,
        ),
      ),
      3,
    );
  const cpu = ({ cpuSecondsPerGB }: Cost) => cpuSecondsPerGB;
  const speed = ({ gbps }: Cost) => gbps;
  return {
    bridgeCpuRatio: ratio(1),
    masqueradeCpuRatio: ratio(2),
    plainCpuSecondsPerGB: figure(0, cpu, 3),
    bridgeCpuSecondsPerGB: figure(1, cpu, 3),
    masqueradeCpuSecondsPerGB: figure(2, cpu, 3),
    plainGbps: figure(0, speed),
    bridgeGbps: figure(1, speed),
    masqueradeGbps: figure(2, speed),
    rounds: rounds.length,
  };
}

const QUIET = ["--disable-warning=ExperimentalWarning"];
const NOTHING: Cost = { cpuSecondsPerGB: Number.NaN, gbps: Number.NaN };

/** Wires the pod, and puts a namespace with the guest's MAC and address where the guest would be; its name. */
async function plugNamespace(
  node: Node,
  pod: Pod,
  binding: AnnouncedInterface,
  sabotage: boolean,
): Promise<string> {
  const [attachment] = await wireNetwork(optionsFor(node, pod, { interfaces: [binding] }));
  if (attachment === undefined) throw new Error("the pod has no attachment");
  const { guest, tap, bridge, podInterface } = attachment;
  const netns = node.makeNamespace("guest");
  inside(pod.netns, `ip link delete dev ${tap.name}`);
  const guestEnd = `name eth0 address ${guest.macAddress} mtu ${podInterface.mtu} netns ${netns}`;
  inside(pod.netns, `ip link add name ${tap.name} mtu ${podInterface.mtu} type veth peer ${guestEnd}`);
  inside(pod.netns, `ip link set dev ${tap.name} master ${bridge.name} addrgenmode none`);
  inside(pod.netns, `ip link set dev ${tap.name} up`);
  // The control run: every segment of the MTU's size crosses the last link by itself.
  if (sabotage) inside(pod.netns, `ip link set dev ${tap.name} gso_max_segs 1`);
  inside(netns, `ip address add ${guest.subnet?.address ?? podInterface.addresses[0]} dev eth0`);
  inside(netns, "ip link set dev eth0 up");
  inside(netns, `ip route add default via ${guest.subnet?.gateway ?? "10.244.0.1"}`);
  return netns;
}

async function stream(sender: Conversation, { address, receiver }: Target): Promise<Cost> {
  const softirqs = softirqSeconds();
  const sent = await sender.ask<Transfer>({ host: address, bytes: BYTES });
  const received = await receiver.next<Transfer>();
  if (received.bytes !== BYTES) throw new Error(`${received.bytes} of ${BYTES} bytes came to ${address}`);
  const cpuSeconds = sent.cpuSeconds + received.cpuSeconds + softirqSeconds() - softirqs;
  return { cpuSecondsPerGB: cpuSeconds / (BYTES / 1e9), gbps: (BYTES * 8) / sent.seconds / 1e9 };
}

/** CPU time of the kernel's own threads for what was left over when a process's turn was up (proc_pid_schedstat). */
function softirqSeconds(): number {
  const nanoseconds = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && isSoftirqThread(entry))
    .map((pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]));
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}

function isSoftirqThread(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("ksoftirqd/");
  } catch {
    return false;
  }
}

/** The acknowledgements at least must have met the guard, or something else was measured. */
function requireGuard(targets: readonly Target[]): void {
  for (const { pod, address } of targets) {
    const rules = parseLoadedRules(inside(pod.netns, "nft --json list ruleset"));
    const passed = rules.filter(({ chain }) => chain === "from-tap0").map(({ packets = 0 }) => packets);
    if (Math.max(0, ...passed) < 1000) throw new Error(`the stream to ${address} did not pass the guard`);
  }
}
