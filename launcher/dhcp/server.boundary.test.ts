/** The server as a launcher runs it tells clients that others wrote everything; needs root. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DhcpLab, type LabClient } from "./lab.fixture.ts";

const NPM_CLIENT = new URL("./client.fixture.ts", import.meta.url).pathname;

let lab: DhcpLab;
let first: LabClient;
let second: LabClient;
before(async () => {
  lab = await DhcpLab.start({ clients: 2 });
  [first, second] = [lab.client(0), lab.client(1)];
});
after(() => lab[Symbol.asyncDispose]());

/** Runs busybox's client once; what it told its script, by variable. */
function udhcpc(client: LabClient, ...more: string[]): ReadonlyMap<string, string> {
  const told = join(lab.folder, "udhcpc.env");
  const script = join(lab.folder, "udhcpc.sh");
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
  lab.inside(
    client.netns,
    "busybox",
    "udhcpc",
    ...flags,
    ...requests.flatMap((name) => ["-O", name]),
    ...more,
  );
  const entries = readFileSync(told, "utf8").split("\n");
  return new Map(
    entries.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

describe("clients that others wrote are told everything", () => {
  test("udhcpc, by unicast", async () => {
    const told = udhcpc(first);
    await lab.leased(first);
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
      staticroutes: "192.0.2.0/24 10.244.0.1 0.0.0.0/0 10.244.0.1",
      lease: "86400",
      serverid: "169.254.75.10",
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(told.get(name), value, name);
  });

  test("udhcpc, by broadcast, on each of two bridges", async () => {
    assert.equal(udhcpc(second, "-B").get("ip"), second.address);
    await lab.leased(second);
    assert.equal(udhcpc(first, "-B").get("ip"), first.address);
    await lab.leased(first);
  });

  test("udhcpc, which comes with an address of old, is refused it and takes the right one", async () => {
    const before = await lab.vitals();
    assert.equal(udhcpc(first, "-r", "10.244.0.99").get("ip"), first.address);
    await lab.leased(first);
    assert.equal(
      (await lab.vitals()).counters["nak"] ?? 0,
      before.counters["nak"] ?? 0,
      "a wish in a DISCOVER is no claim",
    );
  });

  test("dhclient, which then reboots with a lease of another network and is refused it", async () => {
    const file = (name: string): string => join(lab.folder, name);
    writeFileSync(
      file("dhclient.conf"),
      "option classless code 121 = array of unsigned integer 8;\n" +
        "request subnet-mask, routers, domain-name-servers, domain-name, domain-search, host-name, interface-mtu, classless;\n",
    );
    writeFileSync(file("dhclient.leases"), "");
    const files = ["-cf", file("dhclient.conf"), "-lf", file("dhclient.leases"), "-pf", file("dhclient.pid")];
    const takeLease = (): void => {
      lab.inside(first.netns, "dhclient", "-4", "-1", "-q", ...files, "-sf", "/bin/true", "eth0");
      // Its -x would send a REQUEST first, and its pid may not be written yet.
      lab.endProcesses(first);
      rmSync(file("dhclient.pid"), { force: true });
    };
    takeLease();
    await lab.leased(first);
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
      "option classless 24,192,0,2,10,244,0,1,0,10,244,0,1;",
      "option dhcp-lease-time 86400;",
      "option dhcp-server-identifier 169.254.75.10;",
    ]) {
      assert.ok(lease.includes(line), `${line} is not in ${lease}`);
    }

    writeFileSync(
      file("dhclient.leases"),
      lease.replace("fixed-address 10.244.0.7", "fixed-address 10.244.0.99"),
    );
    const before = await lab.vitals();
    takeLease();
    await lab.leased(first);
    assert.equal((await lab.vitals()).counters["nak"], (before.counters["nak"] ?? 0) + 1);
  });

  test("npm's dhcp", async () => {
    // It has only ordinary sockets, and so hears no unicast to an address that it does not have yet.
    lab.inside(first.netns, "ip", "address", "add", "10.244.0.7/32", "dev", "eth0");
    lab.inside(first.netns, "ip", "route", "add", "255.255.255.255/32", "dev", "eth0");
    const told = JSON.parse(
      lab.inside(first.netns, process.execPath, NPM_CLIENT, first.macAddress, first.address),
    );
    lab.inside(first.netns, "ip", "address", "flush", "dev", "eth0");
    await lab.leased(first);
    assert.equal(told.address, "10.244.0.7");
    assert.deepEqual(told.options, {
      netmask: "255.255.255.0",
      router: ["10.244.0.1"],
      dns: ["10.96.0.10"],
      hostname: "machine",
      domainName: "team.svc.cluster.local",
      server: "169.254.75.10",
      mtuInterface: 1400,
      clientId: first.macAddress,
      broadcast: "10.244.0.255",
    });
  });
});
