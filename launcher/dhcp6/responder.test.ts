import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { decodeRequest, MESSAGE } from "./codec.ts";
import { lease6For } from "./lease.ts";
import { respond } from "./responder.ts";

const ATTACHMENT: InterfaceAttachment = {
  name: "default",
  podInterface: {
    name: "eth0",
    macAddress: "0a:58:0a:f4:00:07",
    mtu: 1500,
    addresses: ["10.244.0.7/24", "fd00::7/64"],
    routes: [],
    neighbours: [],
  },
  guest: {
    macAddress: "02:00:00:00:00:07",
    subnet: { address: "10.0.2.2/24", gateway: "10.0.2.1" },
    subnet6: { address: "fd10:0:2::2/120", gateway: "fe80::1" },
  },
  tap: { name: "tap0", queues: 1 },
  bridge: { name: "k6t-eth0", macAddress: "02:00:00:00:00:00", address: "10.0.2.1" },
};
const LEASE = lease6For(
  ATTACHMENT,
  "nameserver 10.96.0.10\nnameserver fd00:10::a\nnameserver ::1\nnameserver fe80::1\n",
);
assert.ok(LEASE);

const ADDRESS = "fd100000000200000000000000000002";
const OTHER = "fd100000000200000000000000000009";
const CLIENT_ID = "0001000a0001aabb020000000007";
const SERVER_ID = "0002000a00030001020000000000";
const DNS = "00060002" + "0017";

const ia = (id: string, ...addresses: readonly string[]) => {
  const inside = addresses.map((address) => `00050018${address}0000000000000000`).join("");
  return `0003${(12 + inside.length / 2).toString(16).padStart(4, "0")}${id}0000000000000000${inside}`;
};
const granted = (id: string, inside: string) =>
  `0003${(12 + inside.length / 2).toString(16).padStart(4, "0")}${id}0000a8c000010e00${inside}`;
const lives = (address: string) => `00050018${address}0001518000015180`;
const dies = (address: string) => `00050018${address}0000000000000000`;

function ask(type: number, ...options: readonly string[]) {
  const request = decodeRequest(Buffer.from(`0${type.toString(16)}c0ffee${options.join("")}`, "hex"));
  assert.ok(request);
  const decision = respond(request, LEASE as NonNullable<typeof LEASE>);
  return "silence" in decision ? decision.silence : decision.reply.toString("hex");
}

describe("a DHCPv6 client", () => {
  test("is offered the guest's address, and given it by request, renewal and rebinding", () => {
    const wanted = granted("00000007", lives(ADDRESS));
    const ids = `c0ffee${CLIENT_ID}${SERVER_ID}`;
    assert.equal(ask(MESSAGE.solicit, CLIENT_ID, ia("00000007")), `02${ids}00070001ff${wanted}`);
    for (const type of [MESSAGE.request, MESSAGE.renew]) {
      assert.equal(ask(type, CLIENT_ID, SERVER_ID, ia("00000007", ADDRESS)), `07${ids}${wanted}`);
    }
    assert.equal(ask(MESSAGE.rebind, CLIENT_ID, ia("00000007", ADDRESS)), `07${ids}${wanted}`);
    assert.equal(ask(MESSAGE.solicit, CLIENT_ID, "000e0000", ia("00000007")), `07${ids}000e0000${wanted}`);
  });

  test("is told which of its addresses are none, and that there is one only", () => {
    const reply = ask(MESSAGE.renew, CLIENT_ID, SERVER_ID, ia("00000007", OTHER), ia("00000008", ADDRESS));
    const first = granted("00000007", lives(ADDRESS) + dies(OTHER));
    const second = granted("00000008", `${dies(ADDRESS)}000d00020002`);
    assert.equal(reply, `07c0ffee${CLIENT_ID}${SERVER_ID}${first}${second}`);
  });

  test("is told the name servers that it asks for, and of those what it can reach", () => {
    const dns = `00170010${"fd00001000000000000000000000000a"}`;
    assert.ok(ask(MESSAGE.informationRequest, DNS).endsWith(dns));
    assert.ok(!ask(MESSAGE.informationRequest).includes(dns));
  });

  test("is confirmed on its own address, and on no other", () => {
    const status = (code: string) => `07c0ffee${CLIENT_ID}${SERVER_ID}000d0002${code}`;
    assert.equal(ask(MESSAGE.confirm, CLIENT_ID, ia("00000007", ADDRESS)), status("0000"));
    assert.equal(ask(MESSAGE.confirm, CLIENT_ID, ia("00000007", OTHER)), status("0004"));
    assert.equal(ask(MESSAGE.confirm, CLIENT_ID, ia("00000007")), "nothingToConfirm");
    for (const type of [MESSAGE.release, MESSAGE.decline]) {
      assert.equal(ask(type, CLIENT_ID, SERVER_ID, ia("00000007", ADDRESS)), status("0000"));
    }
  });

  test("is not answered where RFC 8415 section 16 says so", () => {
    const otherServer = `${SERVER_ID.slice(0, -2)}99`;
    assert.equal(ask(MESSAGE.solicit, ia("00000007")), "noClientId");
    assert.equal(ask(MESSAGE.solicit, CLIENT_ID, SERVER_ID), "serverIdGiven");
    assert.equal(ask(MESSAGE.request, CLIENT_ID, ia("00000007")), "noServerId");
    assert.equal(ask(MESSAGE.renew, CLIENT_ID, otherServer, ia("00000007")), "otherServer");
    assert.equal(ask(MESSAGE.informationRequest, ia("00000007")), "associationGiven");
    assert.equal(ask(MESSAGE.advertise, CLIENT_ID), "unknownType");
  });

  test("never breaks the server with what is cut, garbled or random", () => {
    const good = Buffer.from(`03c0ffee${CLIENT_ID}${SERVER_ID}${ia("00000007", ADDRESS)}${DNS}`, "hex");
    const survives = (bytes: Buffer): void => {
      const request = decodeRequest(bytes);
      if (request !== undefined) respond(request, LEASE as NonNullable<typeof LEASE>);
    };
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(changes, fc.nat(good.length), (changed, length) => {
        const bytes = Buffer.from(good);
        for (const [at, octet] of changed) bytes[at] = octet;
        survives(bytes.subarray(0, length));
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => survives(Buffer.from(bytes))));
  });
});

test("a guest without an IPv6 subnet has no lease", () => {
  const { subnet6: _, ...guest } = ATTACHMENT.guest;
  assert.equal(lease6For({ ...ATTACHMENT, guest }, ""), undefined);
});
