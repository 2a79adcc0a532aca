/** A guest behind a wired pod, with its DHCP server as a launcher runs it, for tests; needs root. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { unprivileged } from "../../test/harness/unprivileged.ts";
import { type Guest, inside, type Lab, type Pod } from "./lab.fixture.ts";
import { parseLoadedRules } from "./ruleset.ts";
import type { WireOptions } from "./types.ts";
import { wireNetwork } from "./wire.ts";

const SERVE = new URL("../../launcher/dhcp/serve.fixture.ts", import.meta.url).pathname;
const CONFIGURE = new URL("./udhcpc.fixture.sh", import.meta.url).pathname;
const LINE_DEADLINE_MS = 20_000;
const RESOLV_CONF = "search team.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n";

export interface Served {
  readonly attachment: InterfaceAttachment;
  readonly guest: Guest;
  /** The next line that the DHCP server's process says. */
  next(): Promise<Record<string, unknown>>;
  counters(): Promise<Record<string, number>>;
}

export async function wireOne(options: WireOptions): Promise<InterfaceAttachment> {
  const [attachment] = await wireNetwork(options);
  assert.ok(attachment);
  return attachment;
}

/** Wires a pod and gives it a DHCP server as a launcher runs it, and a guest without an address, of MTU 1500 unless told. */
export async function serve(lab: Lab, pod: Pod, options: WireOptions, guestMtu?: number): Promise<Served> {
  const attachment = await wireOne(options);
  inside(pod.netns, "sysctl -qw net.ipv4.ip_unprivileged_port_start=0");
  const source = { attachment, resolvConf: RESOLV_CONF, hostname: "machine", namespace: "team" };
  const child = spawn(
    "nsenter",
    [`--net=${pod.path}`, "--", ...unprivileged(SERVE, JSON.stringify([source]))],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  lab.adopt(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const line = await Promise.race([lines.next(), once(AbortSignal.timeout(LINE_DEADLINE_MS), "abort")]);
    assert.ok("value" in line, "the DHCP server said nothing");
    const { value, done } = line;
    assert.ok(done !== true, "the DHCP server ended");
    return JSON.parse(value);
  };
  assert.deepEqual(await next(), { listening: true, uid: 107 });
  const guest = await lab.plugGuest(pod, attachment.tap.name, attachment.guest.macAddress, guestMtu);
  const counters = async () => {
    child.stdin.write("\n");
    let line = await next();
    // A client that asked again before it was answered is told of twice.
    while ("leased" in line) line = await next();
    return line["counters"] as Record<string, number>;
  };
  return { attachment, guest, next, counters };
}

/** Has busybox's client take a lease and configure the guest, without staying. */
export function takeLease(guest: Guest, ...more: readonly string[]): string {
  const client = "busybox udhcpc -f -q -n -i eth0 -t 5 -T 1 -O 121 -O mtu -s";
  return inside(guest.netns, [client, CONFIGURE, ...more].join(" "));
}

/** What a rule of the guard has counted. */
export function packets(pod: Pod, chain: string, name: string): number {
  const rules = parseLoadedRules(inside(pod.netns, "nft --json list ruleset"));
  const rule = rules.find((candidate) => candidate.chain === chain && candidate.name === name);
  assert.ok(rule?.packets !== undefined, `${chain} ${name}`);
  return rule.packets;
}

/**
 * Frames from the guest are refused by that rule, so many at least. They are carried by a process of its own: whoever
 * sent them may have given up before they are there.
 */
export async function untilRefused(
  pod: Pod,
  rule: string,
  act: () => void,
  { chain = "from-tap0", times = 1 } = {},
): Promise<void> {
  const before = packets(pod, chain, rule);
  act();
  await until(() => packets(pod, chain, rule) >= before + times, `${chain} ${rule} counts ${times} more`);
}

/** Looks again and again at what the kernel has no event for. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `in vain waited until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
