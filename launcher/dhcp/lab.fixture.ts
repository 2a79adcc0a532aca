/**
 * A DHCP server as a launcher runs it, uid 107 without capabilities, and clients in network namespaces of their own, each
 * on a link of its own to the server's, for tests; needs root.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { DhcpOptions } from "../../api/dhcp-options.ts";
import { unprivileged } from "../../test/harness/unprivileged.ts";
import type { LeaseSource } from "./lease.ts";

const SERVE = new URL("./serve.fixture.ts", import.meta.url).pathname;
const DEADLINE_MS = 60_000;

export interface LabClient {
  readonly netns: string;
  readonly macAddress: string;
  readonly address: string;
  /** Of its server, which answers ARP for it. */
  readonly gateway: string;
  readonly bridge: string;
  readonly link: string;
}

/** Packets that a client sent to its server, as the server's kernel counted them. */
export interface Seen {
  /** To 255.255.255.255. */
  readonly broadcast: number;
  /** From the client's own address to the server's. */
  readonly unicast: number;
}

export interface Vitals {
  readonly counters: Readonly<Record<string, number>>;
  readonly residentBytes: number;
}

export interface LabOptions {
  readonly clients: number;
  /** Lease, T1 and T2, in seconds; those of a real lease unless told. */
  readonly times?: readonly [lease: number, renewal: number, rebinding: number];
  readonly dhcpOptions?: DhcpOptions;
}

let count = 0;

export class DhcpLab implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "virtpod-dhcp-"));
  readonly serverNetns = `vp-dhcp-${process.pid}-${count++}`;
  readonly clients: readonly LabClient[];
  readonly #options: LabOptions;
  readonly #children: ChildProcess[] = [];
  readonly #namespaces: string[] = [];
  #server: ChildProcess | undefined;
  #lines: AsyncIterator<string> | undefined;

  private constructor(options: LabOptions) {
    this.#options = options;
    this.clients = Array.from({ length: options.clients }, (_, index) => ({
      netns: `${this.serverNetns}-${index}`,
      macAddress: `52:54:00:00:00:0${index}`,
      address: `10.244.${index}.7`,
      gateway: `10.244.${index}.1`,
      bridge: `169.254.75.1${index}`,
      link: `k6t-eth${index}`,
    }));
  }

  static async start(options: LabOptions): Promise<DhcpLab> {
    const lab = new DhcpLab(options);
    try {
      lab.#makeLinks();
      await lab.#startServer();
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  client(index: number): LabClient {
    return this.clients[index] ?? assert.fail(`there is no client ${index}`);
  }

  /** Runs a command in a namespace; its standard output. Throws when it fails. */
  inside(netns: string, ...command: string[]): string {
    return execFileSync("ip", ["netns", "exec", netns, ...command], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      timeout: DEADLINE_MS,
    });
  }

  /** Starts what runs until the lab is closed. What it says on standard error is shown when it ends too early. */
  start(netns: string, ...command: string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", netns, ...command], { stdio: ["pipe", "pipe", "pipe"] });
    const said: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
    child.once("exit", (status) => {
      if (status !== null && status !== 0) process.stderr.write(Buffer.concat(said));
    });
    this.#children.push(child);
    return child;
  }

  /** Ends what has gone into the background in a client's namespace. */
  endProcesses({ netns }: LabClient): void {
    endProcesses(netns);
  }

  /** The next lease or refusal that the server tells of: `leased 52:54:00:00:00:00`. */
  async next(): Promise<string> {
    const line = await this.#line();
    const [[what, event] = []] = Object.entries(line) as [string, { macAddress?: string }][];
    return `${what} ${event?.macAddress}`;
  }

  /**
   * Waits until the server has told of the client's lease. It tells of one twice where a client has asked again before it
   * was answered, so those of other clients before it are let by.
   */
  async leased({ macAddress }: LabClient): Promise<void> {
    for (let event = ""; event !== `leased ${macAddress}`; ) {
      event = await this.next();
      assert.match(event, /^leased /);
    }
  }

  /** What the server has counted, and how much memory it takes; leases that it tells of before are let by. */
  async vitals(): Promise<Vitals> {
    this.#server?.stdin?.write("\n");
    let line = await this.#line();
    while ("leased" in line) line = await this.#line();
    const { counters, residentBytes } = line;
    return { counters, residentBytes } as Vitals;
  }

  seen({ link }: LabClient): Seen {
    const parsed = JSON.parse(
      this.inside(this.serverNetns, "nft", "--json", "list", "table", "ip", "seen"),
    ) as {
      nftables: readonly { rule?: { comment: string; expr: readonly { counter?: { packets: number } }[] } }[];
    };
    const packets = (what: string): number =>
      parsed.nftables
        .filter(({ rule }) => rule?.comment === `${what} ${link}`)
        .flatMap(({ rule }) => rule?.expr ?? [])
        .reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
    return { broadcast: packets("broadcast"), unicast: packets("unicast") };
  }

  /** @throws AssertionError when the server doesn't close its sockets and end by itself */
  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (server !== undefined && server.exitCode === null) {
      const ended = once(server, "exit");
      server.stdin?.end();
      await ended;
    }
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    for (const name of this.#namespaces) {
      endProcesses(name);
      execFileSync("ip", ["netns", "delete", name]);
    }
    rmSync(this.folder, { recursive: true });
    if (server !== undefined) assert.equal(server.exitCode, 0, "the server ended by itself");
  }

  #makeLinks(): void {
    const add = (netns: string): void => {
      execFileSync("ip", ["netns", "add", netns]);
      this.#namespaces.push(netns);
      this.#ip(netns, "link set dev lo up");
    };
    add(this.serverNetns);
    this.inside(this.serverNetns, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0");
    for (const { netns, macAddress, address, gateway, bridge, link } of this.clients) {
      add(netns);
      // With a MAC of its own, or it takes its ports' and forgets its neighbours whenever they change.
      this.#ip(this.serverNetns, `link add name ${link} address 02:00:00:00:00:01 type bridge`);
      const veth = `link add name ${link}-v type veth peer name eth0 address ${macAddress} netns ${netns}`;
      this.#ip(this.serverNetns, veth);
      this.#ip(this.serverNetns, `link set dev ${link}-v master ${link} up`);
      this.#ip(this.serverNetns, `address add ${bridge}/32 dev ${link}`);
      this.#ip(this.serverNetns, `address add ${gateway}/32 dev ${link}`);
      this.#ip(this.serverNetns, `link set dev ${link} up`);
      this.#ip(this.serverNetns, `route add ${address}/32 dev ${link}`);
      this.#ip(this.serverNetns, `neighbour add ${address} lladdr ${macAddress} nud permanent dev ${link}`);
      this.#ip(netns, "link set dev eth0 up");
    }
    const rules = this.clients.flatMap(({ link, address, bridge }) => [
      `iifname ${link} ip daddr 255.255.255.255 udp dport 67 counter comment "broadcast ${link}"`,
      `iifname ${link} ip saddr ${address} ip daddr ${bridge} udp sport 68 udp dport 67 counter comment "unicast ${link}"`,
    ]);
    const chain = ["chain input {", "type filter hook input priority 0;", ...rules, "}"].join("\n");
    this.inside(this.serverNetns, "nft", `table ip seen {\n${chain}\n}`);
  }

  #ip(netns: string, line: string): void {
    execFileSync("ip", ["-n", netns, ...line.split(" ")], { stdio: ["ignore", "pipe", "pipe"] });
  }

  async #startServer(): Promise<void> {
    const sources = this.clients.map((client, index) => this.#source(client, index));
    const times = JSON.stringify(this.#options.times ?? []);
    const command = unprivileged(SERVE, JSON.stringify(sources), times);
    this.#server = this.start(this.serverNetns, ...command);
    assert.ok(this.#server.stdout);
    this.#lines = createInterface({ input: this.#server.stdout })[Symbol.asyncIterator]();
    assert.deepEqual(await this.#line(), { listening: true, uid: 107 });
  }

  #source({ macAddress, address, gateway, bridge, link }: LabClient, index: number): LeaseSource {
    const { dhcpOptions } = this.#options;
    return {
      attachment: {
        name: `net${index}`,
        podInterface: {
          name: `eth${index}`,
          macAddress,
          mtu: 1400,
          addresses: [`${address}/24`],
          routes: [
            { destination: "0.0.0.0/0", gateway },
            { destination: "192.0.2.0/24", gateway },
          ],
          neighbours: [],
        },
        guest: { macAddress },
        tap: { name: `tap${index}`, queues: 1 },
        bridge: { name: link, macAddress: "02:00:00:00:00:01", address: bridge },
      },
      resolvConf: "search team.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n",
      hostname: "machine",
      namespace: "team",
      ...(dhcpOptions === undefined ? {} : { dhcpOptions }),
    };
  }

  async #line(): Promise<Record<string, unknown>> {
    assert.ok(this.#lines);
    const silence = once(AbortSignal.timeout(DEADLINE_MS), "abort");
    const line = await Promise.race([this.#lines.next(), silence]);
    assert.ok("value" in line, "the server said nothing in time");
    assert.ok(line.done !== true, "the server ended");
    return JSON.parse(line.value);
  }
}

/** Clients that went into the background: whoever still lives in a namespace of ours. */
function endProcesses(netns: string): void {
  const pids = execFileSync("ip", ["netns", "pids", netns], { encoding: "utf8" });
  for (const pid of pids.split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}
