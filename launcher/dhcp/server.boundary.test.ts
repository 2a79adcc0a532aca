/** The server in namespaces of its own, as uid 107 without capabilities, against clients that others wrote; needs root. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { unprivileged } from "../../test/harness/unprivileged.ts";
import { BAD_INPUTS } from "./bad-input.fixture.ts";
import type { LeaseSource } from "./lease.ts";

const SERVE = new URL("./serve.fixture.ts", import.meta.url).pathname;
const NPM_CLIENT = new URL("./client.fixture.ts", import.meta.url).pathname;
const SEND = new URL("./send.fixture.ts", import.meta.url).pathname;
const DEADLINE_MS = 30_000;

const directory = mkdtempSync(join(tmpdir(), "virtpod-dhcp-"));
const serverNetns = `vp-dhcp-${process.pid}-server`;
const clients = [0, 1].map((index) => ({
  netns: `vp-dhcp-${process.pid}-client${index}`,
  macAddress: `52:54:00:00:00:0${index}`,
  address: `10.244.${index}.7`,
  bridge: `169.254.75.1${index}`,
}));
const [first, second] = clients;
assert.ok(first && second);

function inside(netns: string, ...command: string[]): string {
  return execFileSync("ip", ["netns", "exec", netns, ...command], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: DEADLINE_MS,
  });
}

function sources(): readonly LeaseSource[] {
  return clients.map(({ macAddress, address, bridge }, index) => ({
    attachment: {
      name: `net${index}`,
      podInterface: {
        name: `eth${index}`,
        macAddress,
        mtu: 1400,
        addresses: [`${address}/24`],
        routes: [{ destination: "0.0.0.0/0", gateway: address.replace(/7$/, "1") }],
        neighbours: [],
      },
      guest: { macAddress },
      tap: { name: `tap${index}`, queues: 1 },
      bridge: { name: `k6t-eth${index}`, macAddress: "02:00:00:00:00:01", address: bridge },
    },
    resolvConf: "search team.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n",
    hostname: "machine",
    namespace: "team",
  }));
}

let server: ChildProcess;
let lines: AsyncIterator<string>;

async function next(): Promise<Record<string, unknown>> {
  const line = await Promise.race([lines.next(), once(AbortSignal.timeout(DEADLINE_MS), "abort")]);
  assert.ok("value" in line, "the server said nothing in time");
  assert.ok(line.done !== true, "the server ended");
  return JSON.parse(line.value);
}

interface Vitals {
  readonly counters: Readonly<Record<string, number>>;
  readonly residentBytes: number;
}

async function vitals(): Promise<Vitals> {
  server.stdin?.write("\n");
  const { counters, residentBytes } = await next();
  return { counters, residentBytes } as Vitals;
}

async function leased(client: { macAddress: string; address: string }): Promise<void> {
  const index = clients.findIndex(({ macAddress }) => macAddress === client.macAddress);
  const { macAddress, address } = client;
  assert.deepEqual(await next(), { leased: { interfaceName: `net${index}`, macAddress, address } });
}

before(async () => {
  execFileSync("ip", ["netns", "add", serverNetns]);
  inside(serverNetns, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0");
  for (const [index, { netns, macAddress, address, bridge }] of clients.entries()) {
    execFileSync("ip", ["netns", "add", netns]);
    const link = `k6t-eth${index}`;
    const ip = (netnsOf: string, line: string): string => inside(netnsOf, "ip", ...line.split(" "));
    ip(serverNetns, `link add name ${link} type veth peer name eth0 address ${macAddress} netns ${netns}`);
    ip(serverNetns, `address add ${bridge}/32 dev ${link}`);
    ip(serverNetns, `link set dev ${link} up`);
    ip(serverNetns, `route add ${address}/32 dev ${link}`);
    ip(serverNetns, `neighbour add ${address} lladdr ${macAddress} nud permanent dev ${link}`);
    ip(netns, "link set dev eth0 up");
  }
  server = spawn("ip", ["netns", "exec", serverNetns, ...unprivileged(SERVE, JSON.stringify(sources()))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  assert.ok(server.stdout);
  lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  assert.deepEqual(await next(), { listening: true, uid: 107 });
});

after(async () => {
  const ended = once(server, "exit");
  server.stdin?.end();
  const [code] = await ended;
  for (const netns of [serverNetns, ...clients.map((client) => client.netns)])
    execFileSync("ip", ["netns", "delete", netns]);
  rmSync(directory, { recursive: true });
  assert.equal(code, 0, "the server closed its sockets and ended by itself");
});

/** Runs busybox's client once; what it told its script, by variable. */
function udhcpc(client: typeof first, ...more: string[]): ReadonlyMap<string, string> {
  assert.ok(client);
  const told = join(directory, "udhcpc.env");
  const script = join(directory, "udhcpc.sh");
  writeFileSync(script, `#!/bin/sh\n[ "$1" != bound ] || env > ${told}\n`, { mode: 0o755 });
  const requests = [
    "subnet",
    "router",
    "dns",
    "hostname",
    "domain",
    "mtu",
    "broadcast",
    "ntpsrv",
    "search",
    "staticroutes",
  ];
  const flags = ["-f", "-q", "-n", "-i", "eth0", "-t", "5", "-T", "1", "-s", script];
  inside(client.netns, "busybox", "udhcpc", ...flags, ...requests.flatMap((name) => ["-O", name]), ...more);
  const entries = readFileSync(told, "utf8").split("\n");
  return new Map(
    entries.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

describe("clients that others wrote are told everything", () => {
  test("udhcpc, by unicast", async () => {
    const told = udhcpc(first);
    await leased(first);
    const expected: Record<string, string> = {
      ip: "10.244.0.7",
      mask: "24",
      router: "10.244.0.1",
      dns: "10.96.0.10",
      hostname: "machine",
      domain: "team.svc.cluster.local",
      mtu: "1400",
      broadcast: "10.244.0.255",
      search: "team.svc.cluster.local svc.cluster.local cluster.local",
      staticroutes: "0.0.0.0/0 10.244.0.1",
      lease: "86400",
      serverid: "169.254.75.10",
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(told.get(name), value, name);
  });

  test("udhcpc, by broadcast, on each of two bridges", async () => {
    assert.equal(udhcpc(second, "-B").get("ip"), second.address);
    await leased(second);
    assert.equal(udhcpc(first, "-B").get("ip"), first.address);
    await leased(first);
  });

  test("udhcpc, which comes with an address of old, is refused it and takes the right one", async () => {
    const before = await vitals();
    assert.equal(udhcpc(first, "-r", "10.244.0.99").get("ip"), first.address);
    await leased(first);
    assert.equal(
      (await vitals()).counters["nak"] ?? 0,
      before.counters["nak"] ?? 0,
      "a wish in a DISCOVER is no claim",
    );
  });

  test("dhclient, which then reboots with a lease of another network and is refused it", async () => {
    const file = (name: string): string => join(directory, name);
    writeFileSync(
      file("dhclient.conf"),
      "option classless code 121 = array of unsigned integer 8;\n" +
        "request subnet-mask, routers, domain-name-servers, domain-name, domain-search, host-name, interface-mtu, classless;\n",
    );
    writeFileSync(file("dhclient.leases"), "");
    const files = ["-cf", file("dhclient.conf"), "-lf", file("dhclient.leases"), "-pf", file("dhclient.pid")];
    const takeLease = (): void => {
      inside(first.netns, "dhclient", "-4", "-1", "-q", ...files, "-sf", "/bin/true", "eth0");
      // Its -x would send a REQUEST first.
      process.kill(Number(readFileSync(file("dhclient.pid"), "utf8")), "SIGKILL");
    };
    takeLease();
    await leased(first);
    const lease = readFileSync(file("dhclient.leases"), "utf8");
    for (const line of [
      "fixed-address 10.244.0.7;",
      "option subnet-mask 255.255.255.0;",
      "option routers 10.244.0.1;",
      "option domain-name-servers 10.96.0.10;",
      'option domain-name "team.svc.cluster.local";',
      'option domain-search "team.svc.cluster.local.", "svc.cluster.local.", "cluster.local.";',
      'option host-name "machine";',
      "option interface-mtu 1400;",
      "option classless 0,10,244,0,1;",
      "option dhcp-lease-time 86400;",
      "option dhcp-server-identifier 169.254.75.10;",
    ]) {
      assert.ok(lease.includes(line), `${line} is not in ${lease}`);
    }

    writeFileSync(
      file("dhclient.leases"),
      lease.replace("fixed-address 10.244.0.7", "fixed-address 10.244.0.99"),
    );
    const before = await vitals();
    takeLease();
    await leased(first);
    assert.equal((await vitals()).counters["nak"], (before.counters["nak"] ?? 0) + 1);
  });

  test("npm's dhcp", async () => {
    // It has only ordinary sockets, and so hears no unicast to an address that it does not have yet.
    inside(first.netns, "ip", "address", "add", "10.244.0.7/32", "dev", "eth0");
    inside(first.netns, "ip", "route", "add", "255.255.255.255/32", "dev", "eth0");
    const told = JSON.parse(
      inside(first.netns, process.execPath, NPM_CLIENT, first.macAddress, first.address),
    );
    inside(first.netns, "ip", "address", "flush", "dev", "eth0");
    await leased(first);
    assert.equal(told.address, "10.244.0.7");
    assert.deepEqual(told.options, {
      netmask: "255.255.255.0",
      router: ["10.244.0.1"],
      dns: ["10.96.0.10"],
      hostname: "machine",
      domainName: "team.svc.cluster.local",
      server: "169.254.75.10",
      clientId: first.macAddress,
      broadcast: "10.244.0.255",
    });
  });
});

describe("no packet stops the server", () => {
  const send = (messages: readonly Uint8Array[], flood: number): void => {
    const input = messages.map((message) => `${Buffer.from(message).toString("hex")}\n`).join("");
    const command = [process.execPath, SEND, String(flood)];
    execFileSync("ip", ["netns", "exec", first.netns, ...command], { input, timeout: DEADLINE_MS });
  };
  /** Messages that came in and were answered or dropped. */
  const handled = ({ optionsOmitted: _, ...counters }: Readonly<Record<string, number>>): number =>
    Object.values(counters).reduce((sum, count) => sum + count, 0);
  const changed = async (earlier: Vitals): Promise<Vitals> => {
    for (const deadline = Date.now() + DEADLINE_MS; Date.now() < deadline; ) {
      const later = await vitals();
      if (handled(later.counters) > handled(earlier.counters)) return later;
    }
    return assert.fail("the server counted nothing");
  };
  before(() => void inside(first.netns, "ip", "route", "add", "255.255.255.255/32", "dev", "eth0"));

  test("every bad input is dropped and counted by its reason, and every odd but valid one answered", async () => {
    const before = await vitals();
    // Reaches the socket of its own bridge only where the MAC is that of a client.
    const mac = Buffer.from(first.macAddress.replaceAll(":", ""), "hex");
    const messages = BAD_INPUTS.map(({ message, expected }) => {
      const own = Uint8Array.from(message);
      if (own.length >= 240) own.set(mac, 28);
      return { own, expected: expected === "accepted" ? "offer" : expected };
    });
    // One at a time leaves no doubt that the kernel's buffer held them all.
    for (const { own, expected } of messages) {
      const earlier = await vitals();
      send([own], 0);
      const later = await changed(earlier);
      assert.equal(later.counters[expected], (earlier.counters[expected] ?? 0) + 1, expected);
    }
    const { counters } = await vitals();
    assert.equal(handled(counters), handled(before.counters) + messages.length);
  });

  test("a flood from 100,000 MACs leaves its memory flat and the next client served", async () => {
    send([], 20_000);
    const before = await vitals();
    send([], 80_000);
    const flooded = await vitals();
    assert.ok((flooded.counters["foreignClient"] ?? 0) > (before.counters["foreignClient"] ?? 0) + 10_000);
    const grownBytes = flooded.residentBytes - before.residentBytes;
    assert.ok(grownBytes < 16 * 1024 * 1024, `grew by ${grownBytes} bytes`);
    inside(first.netns, "ip", "route", "del", "255.255.255.255/32", "dev", "eth0");
    assert.equal(udhcpc(first).get("ip"), first.address);
    await leased(first);
  });
});
