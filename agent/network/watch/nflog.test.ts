import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { bindRequest, parseNflog } from "./nflog.ts";
import { describeRefused } from "./refused-frame.ts";

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, 4);
  return bytes;
}

function message(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(type, 4);
  return Buffer.concat([header, body]);
}

/** As the kernel logs a frame in the bridge family, in the order of its attributes. */
function logged(prefix: string, header: string, payload: string): Buffer {
  const attributes = [
    attribute(1, Buffer.from("0806" + "0000", "hex")),
    attribute(10, Buffer.from(`${prefix}\0`)),
    attribute(4, Buffer.from("00000005", "hex")),
    attribute(16, Buffer.from(header, "hex")),
    attribute(9, Buffer.from(payload, "hex")),
  ];
  return message(0x0400, Buffer.concat([Buffer.from("0700004b", "hex"), ...attributes]));
}

const ARP_HEADER = "ffffffffffff" + "020000000007" + "0806";
const ARP = "0001080006040002" + "020000000007" + "0af40001" + "ffffffffffff" + "0af40008";
const CLAIM = logged("tap0 foreign-arp", ARP_HEADER, ARP);

describe("the kernel's log of packets", () => {
  test("is asked for by one request for the group and its whole packets", () => {
    assert.equal(
      bindRequest(75).toString("hex"),
      "28000000" +
        "0104" +
        "0500" +
        "00000000" +
        "00000000" + // struct nlmsghdr
        "0000004b" + // struct nfgenmsg: group 75
        "0500010001000000" + // NFULA_CFG_CMD: bind
        "0a0002000000ffff02000000", // NFULA_CFG_MODE: 65,535 octets of the packet
    );
  });

  test("comes as one packet after the other in a datagram, beside answers", () => {
    const other = logged("tap1 vlan", ARP_HEADER, "");
    const error = Buffer.alloc(4);
    error.writeInt32LE(-16);
    const messages = parseNflog(
      Buffer.concat([message(2, error), CLAIM, message(3, Buffer.alloc(0)), other]),
    );
    assert.deepEqual(
      messages.map((one) => (one.type === "packet" ? one.packet.prefix : one.errno)),
      [16, "tap0 foreign-arp", "tap1 vlan"],
    );
  });

  test("never fails on what is cut or garbled", () => {
    const datagram = Buffer.concat([CLAIM, CLAIM]);
    fc.assert(
      fc.property(
        fc.nat(datagram.length),
        fc.array(fc.tuple(fc.nat(datagram.length - 1), fc.nat(255)), { maxLength: 8 }),
        (length, changes) => {
          const garbled = Buffer.from(datagram);
          for (const [at, octet] of changes) garbled[at] = octet;
          for (const one of parseNflog(garbled.subarray(0, length))) {
            if (one.type === "packet") describeRefused(one.packet);
          }
        },
      ),
    );
  });
});

describe("a refused frame", () => {
  const describeOnly = (datagram: Buffer) => {
    const [first] = parseNflog(datagram);
    assert.ok(first?.type === "packet");
    return describeRefused(first.packet);
  };

  test("is told by the link and rule of its prefix, its MACs and its addresses", () => {
    assert.deepEqual(describeOnly(CLAIM), {
      link: "tap0",
      rule: "foreign-arp",
      from: "02:00:00:00:00:07",
      to: "ff:ff:ff:ff:ff:ff",
      etherType: "0x0806",
      sourceAddress: "10.244.0.1",
      destinationAddress: "10.244.0.8",
    });
    const ipv4 = "4500001c000000004011000" + "00af40042" + "0af40008";
    const { sourceAddress, destinationAddress } =
      describeOnly(logged("tap0 x", `${ARP_HEADER.slice(0, 24)}0800`, ipv4)) ?? {};
    assert.deepEqual([sourceAddress, destinationAddress], ["10.244.0.66", "10.244.0.8"]);
    const ipv6 = `600000000000${"3aff"}fe80${"0".repeat(27)}1ff02${"0".repeat(27)}1`;
    const six = describeOnly(logged("tap0 x", `${ARP_HEADER.slice(0, 24)}86dd`, ipv6));
    assert.deepEqual([six?.sourceAddress, six?.destinationAddress], ["fe80::1", "ff02::1"]);
  });

  test("that is too short for addresses is told without", () => {
    assert.deepEqual(Object.keys(describeOnly(logged("tap0 foreign-arp", ARP_HEADER, "0001")) ?? {}), [
      "link",
      "rule",
      "to",
      "from",
      "etherType",
    ]);
    assert.deepEqual(describeOnly(logged("tap0 vlan", "0102", "")), { link: "tap0", rule: "vlan" });
  });

  test("of another's rule is none of ours", () => {
    for (const prefix of ["", "input", "IN=eth0 OUT= MAC="]) {
      assert.equal(describeOnly(logged(prefix, ARP_HEADER, ARP)), undefined);
    }
  });
});
