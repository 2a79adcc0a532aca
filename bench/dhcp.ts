/**
 * The launcher's DHCP server against dnsmasq and udhcpd: the same client asks each of them in turns, over a veth pair
 * between two namespaces; then ours under a flood of malformed datagrams, and over a million of good and bad ones.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launcherNodeFlags } from "../images/recipes.ts";
import { CLIENT_MAC, LEASE } from "../launcher/dhcp/packet.fixture.ts";
import { runVisible } from "../test/harness/command.ts";
import { clearing } from "../test/harness/interrupts.ts";
import type { Bench, LocalContext } from "./bench.ts";
import type { Conversation } from "./conversation.ts";
import { DhcpLab, SERVER_ADDRESS, SERVER_LINK } from "./dhcp-lab.ts";
import { median, percentile, rounded } from "./median.ts";

const SERVER = new URL("./dhcp-server.ts", import.meta.url).pathname;
const EXCHANGES_PER_ROUND = 1000;
/** Enough to see harm that makes each take 60 ms, and a second under the flood. */
const SABOTAGED_EXCHANGES_PER_ROUND = 30;
/** It takes 50 ms for each, whatever the machine. */
const UDHCPD_EXCHANGES_PER_ROUND = 100;
const FLOOD_PER_SECOND = 20_000;
const PACKETS = 1_000_000;
const CHUNK = 50_000;
const MIB = 1024 * 1024;

export interface DhcpReport {
  /** One client, one exchange (DISCOVER to ACK) after the other. */
  readonly exchangesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Median over the rounds of our p99 divided by dnsmasq's. */
  readonly p99VsDnsmasq: number;
  readonly dnsmasqP50Ms: number;
  readonly dnsmasqP99Ms: number;
  readonly udhcpdP50Ms: number;
  readonly udhcpdP99Ms: number;
  readonly p99UnderFloodMs: number;
  /** Over PACKETS datagrams, after garbage collection. */
  readonly heapGrowthMiB: number;
  readonly packets: number;
  /** Of these, dropped and counted as malformed. */
  readonly malformedDropped: number;
}

interface Vitals {
  readonly counters: Readonly<Record<string, number>>;
  readonly heapBytes: number;
}

export const dhcp: Bench<DhcpReport, LocalContext> = {
  name: "dhcp",
  promises: [
    { name: "exchange, p99", atMost: 2, unit: "ms", figure: ({ p99Ms }) => p99Ms },
    { name: "p99 beside dnsmasq's", atMost: 1.5, unit: "times", figure: ({ p99VsDnsmasq }) => p99VsDnsmasq },
    { name: "p99 under a flood", atMost: 10, unit: "ms", figure: ({ p99UnderFloodMs }) => p99UnderFloodMs },
    { name: "heap growth", atMost: 2, unit: "MiB", figure: ({ heapGrowthMiB }) => heapGrowthMiB },
  ],
  run: measure,
};

async function measure({ progress, runs, sabotage }: LocalContext): Promise<DhcpReport> {
  runVisible("./test/prerequisites", []);
  const perRound = sabotage ? SABOTAGED_EXCHANGES_PER_ROUND : EXCHANGES_PER_ROUND;
  const folder = mkdtempSync(join(tmpdir(), "virtpod-dhcp-"));
  const labs: DhcpLab[] = [];
  const lab = (name: string): DhcpLab => {
    const made = new DhcpLab(name);
    labs.push(made);
    return made;
  };
  await using _ = clearing(async () => {
    for (const one of labs) await one.close();
    rmSync(folder, { recursive: true });
  });
  const [ours, dnsmasq, udhcpd] = [lab("o"), lab("d"), lab("u")];
  const server = await ours.conversingServer(serverArguments(sabotage ? "stall" : undefined));
  dnsmasq.startServer(dnsmasqCommand());
  udhcpd.startServer(udhcpdCommand(folder));
  const clients = [await ours.client(), await dnsmasq.client(), await udhcpd.client()];
  for (const client of clients) await exchanges(client, UDHCPD_EXCHANGES_PER_ROUND);
  const rounds: number[][][] = [];
  for (let round = 1; round <= runs; round++) {
    const samples: number[][] = [];
    for (const [index, client] of clients.entries()) {
      samples.push(await exchanges(client, index === 2 ? UDHCPD_EXCHANGES_PER_ROUND : perRound));
    }
    rounds.push(samples);
    progress(
      `round ${round} of ${runs}: p99 ${samples.map((one) => rounded(percentile(one, 99), 3)).join(", ")} ms`,
    );
  }
  const figure = (which: number, p: number) =>
    rounded(median(rounds.map((samples) => percentile(samples[which] ?? [], p))), 3);
  const all = rounds.flatMap(([own = []]) => own);
  progress(`a flood of ${FLOOD_PER_SECOND} malformed datagrams a second`);
  const p99UnderFloodMs = await underFlood(ours, clients[0], perRound);
  await server.end();
  progress(`${PACKETS} datagrams, a third of them malformed`);
  return {
    exchangesPerSecond: Math.round((all.length / all.reduce((sum, one) => sum + one, 0)) * 1000),
    p50Ms: figure(0, 50),
    p99Ms: figure(0, 99),
    p99VsDnsmasq: rounded(
      median(rounds.map(([own = [], other = []]) => percentile(own, 99) / percentile(other, 99))),
    ),
    dnsmasqP50Ms: figure(1, 50),
    dnsmasqP99Ms: figure(1, 99),
    udhcpdP50Ms: figure(2, 50),
    udhcpdP99Ms: figure(2, 99),
    p99UnderFloodMs,
    ...(await overManyPackets(ours, sabotage)),
  };
}

async function exchanges(client: Conversation, count: number): Promise<number[]> {
  return (await client.ask<{ milliseconds: number[] }>({ exchanges: count })).milliseconds;
}

/** In milliseconds; the flood comes from a process of its own, so that it does not wait for the exchanges. */
async function underFlood(lab: DhcpLab, client: Conversation | undefined, count: number): Promise<number> {
  if (client === undefined) throw new Error("there is no client");
  const flood = await lab.client();
  await flood.ask({ flood: FLOOD_PER_SECOND });
  const milliseconds = await exchanges(client, count);
  await flood.end();
  return rounded(percentile(milliseconds, 99), 3);
}

async function overManyPackets(
  lab: DhcpLab,
  sabotage: boolean,
): Promise<Pick<DhcpReport, "heapGrowthMiB" | "packets" | "malformedDropped">> {
  const server = await lab.conversingServer(serverArguments(sabotage ? "leak" : undefined));
  const client = await lab.client();
  await client.ask({ send: CHUNK, malformed: 1 });
  const before = await server.ask<Vitals>();
  let now = before;
  while (total(now) - total(before) < PACKETS) {
    await client.ask({ send: CHUNK, malformed: 1 });
    now = await server.ask<Vitals>();
  }
  const good = (vitals: Vitals) => vitals.counters["offer"] ?? 0;
  const packets = total(now) - total(before);
  return {
    heapGrowthMiB: rounded((now.heapBytes - before.heapBytes) / MIB),
    packets,
    malformedDropped: packets - (good(now) - good(before)),
  };
}

function total({ counters }: Vitals): number {
  return Object.values(counters).reduce((sum, count) => sum + count, 0);
}

function serverArguments(harm: "stall" | "leak" | undefined): string[] {
  return [...launcherNodeFlags, SERVER, JSON.stringify(LEASE), ...(harm === undefined ? [] : [harm])];
}

/** The same answers as ours, from dnsmasq as a careful person would start it for one client. */
function dnsmasqCommand(): string[] {
  const option = (name: string, value: string | number) => `--dhcp-option-force=option:${name},${value}`;
  return [
    ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0"],
    ...[
      "--user=root",
      "--pid-file=",
      "--leasefile-ro",
      "--no-ping",
      "--dhcp-authoritative",
      "--bind-interfaces",
    ],
    ...["--quiet-dhcp", `--interface=${SERVER_LINK}`, "--except-interface=lo"],
    `--dhcp-range=${LEASE.address},${LEASE.address},255.255.255.0,${LEASE.leaseSeconds}`,
    `--dhcp-host=${CLIENT_MAC},${LEASE.address},${LEASE.hostname}`,
    ...[option("router", SERVER_ADDRESS), option("dns-server", LEASE.dnsServers.join(","))],
    ...[option("mtu", LEASE.mtu), option("ntp-server", LEASE.ntpServers.join(","))],
    ...[`--domain=${LEASE.domain}`, option("domain-search", LEASE.searchDomains.join(","))],
    option("classless-static-route", `0.0.0.0/0,${SERVER_ADDRESS}`),
  ];
}

function udhcpdCommand(folder: string): string[] {
  const configuration = join(folder, "udhcpd.conf");
  const leases = join(folder, "leases");
  writeFileSync(leases, "");
  writeFileSync(
    configuration,
    [
      `start ${LEASE.address}`,
      `end ${LEASE.address}`,
      `interface ${SERVER_LINK}`,
      `lease_file ${leases}`,
      `static_lease ${CLIENT_MAC} ${LEASE.address}`,
      "option subnet 255.255.255.0",
      `option router ${SERVER_ADDRESS}`,
      `option dns ${LEASE.dnsServers.join(" ")}`,
      `option domain ${LEASE.domain}`,
      `option search ${LEASE.searchDomains.join(" ")}`,
      `option mtu ${LEASE.mtu}`,
      `option ntpsrv ${LEASE.ntpServers.join(" ")}`,
      `option staticroutes 0.0.0.0/0 ${SERVER_ADDRESS}`,
      `option lease ${LEASE.leaseSeconds}`,
      "",
    ].join("\n"),
  );
  return ["busybox", "udhcpd", "-fS", configuration];
}
