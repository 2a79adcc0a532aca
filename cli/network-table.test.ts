import assert from "node:assert/strict";
import { test } from "node:test";
import type { NetworkPath } from "../api/network-path.ts";
import { networkTable } from "./network-table.ts";

const quiet = { bytes: 0, packets: 0, dropped: 0 };
const PATH: NetworkPath = {
  interfaces: [
    {
      name: "default",
      binding: "bridge",
      guestMacAddress: "02:00:00:00:00:07",
      lease: {
        address: "10.244.1.50/24",
        router: "10.244.1.1",
        routes: [{ destination: "0.0.0.0/0", gateway: "10.244.1.1" }],
        dnsServers: ["10.96.0.10"],
        searchDomains: [],
        mtu: 1500,
        leaseSeconds: 86_400,
        acknowledged: "2026-01-01T00:00:00.000Z",
      },
      links: [
        {
          role: "tap",
          name: "tap0",
          macAddress: "fe:00:00:00:00:01",
          mtu: 1500,
          isUp: true,
          addresses: [],
          fromGuest: { bytes: 1536, packets: 11, dropped: 0 },
          toGuest: { bytes: 3 * 1024 ** 3, packets: 2_000_000, dropped: 7 },
        },
        {
          role: "podInterface",
          name: "eth0-nic",
          macAddress: "02:00:00:00:00:99",
          mtu: 1500,
          isUp: false,
          addresses: ["10.244.1.9/24"],
          fromGuest: quiet,
          toGuest: quiet,
        },
      ],
      dropped: [
        { chain: "from-tap0", rule: "foreign-address", packets: 3, bytes: 252 },
        { chain: "from-tap0", rule: "vlan", packets: 0, bytes: 0 },
      ],
    },
  ],
  differences: ["eth0-nic: is down"],
  dhcpCounters: { offer: 1, ack: 2 },
};

test("the path is told link by link, with its lease, what was dropped and what is wrong", () => {
  assert.equal(
    networkTable(PATH),
    [
      "Interface default, bridge binding, guest's MAC 02:00:00:00:00:07",
      "Lease 10.244.1.50/24, router 10.244.1.1, DNS 10.96.0.10, for 86400 s, last given 2026-01-01T00:00:00.000Z",
      "",
      "LINK      STATE  MTU   MAC                ADDRESSES      FROM GUEST    TO GUEST",
      "tap0      up     1500  fe:00:00:00:00:01  -              11 / 1.5 KiB  2000000 / 3.0 GiB (7 dropped)",
      "eth0-nic  down   1500  02:00:00:00:00:99  10.244.1.9/24  0 / 0 B       0 / 0 B",
      "",
      "DROPPED BY  RULE             PACKETS  BYTES",
      "from-tap0   foreign-address  3        252",
      "",
      "DHCP messages: ack 2, offer 1",
      "",
      "Not as it was made:",
      "  eth0-nic: is down",
      "",
    ].join("\n"),
  );
});

test("a machine without interfaces, and one without lease and drops, are told so", () => {
  assert.equal(
    networkTable({ interfaces: [], differences: [], dhcpCounters: {} }),
    "The machine has no network interface.\n",
  );
  const [{ lease: _, ...bare } = assert.fail()] = PATH.interfaces;
  const text = networkTable({ interfaces: [{ ...bare, dropped: [] }], differences: [], dhcpCounters: {} });
  assert.match(text, /No DHCP is served\./);
  assert.match(text, /The guard has dropped nothing \(0 rules\)\./);
});

test("a launcher's control characters stay off the terminal", () => {
  const [one = assert.fail()] = PATH.interfaces;
  const lease = { ...(one.lease ?? assert.fail()), address: "\u001b[2J\u009b10.0.0.1" };
  const text = networkTable({ ...PATH, interfaces: [{ ...one, lease }] });
  assert.ok(text.includes("?[2J?10.0.0.1"));
  assert.ok(!text.includes("\u001b") && !text.includes("\u009b"));
});
