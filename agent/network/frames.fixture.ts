/** Ethernet frames for tests, honest and not. Checksums are right, so that nobody drops a frame for another reason. */
import { parseIpv4 } from "../../lib/cidr.ts";
import { parseIpv6 } from "../../lib/ipv6.ts";

export const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";
export const ALL_NODES = "ff02::1";
const ALL_NODES_MAC = "33:33:00:00:00:01";
const UDP = 17;
const ICMPV6 = 58;

export function ethernet(source: string, destination: string, etherType: number, payload: Buffer): Buffer {
  return Buffer.concat([mac(destination), mac(source), uint16(etherType), payload]);
}

export interface Arp {
  readonly operation: "request" | "reply";
  readonly senderMac: string;
  readonly sender: string;
  readonly target: string;
}

/** Broadcast. */
export function arp(source: string, { operation, senderMac, sender, target }: Arp): Buffer {
  const head = Buffer.from(`000108000604000${operation === "request" ? 1 : 2}`, "hex");
  const body = Buffer.concat([
    head,
    mac(senderMac),
    ipv4Octets(sender),
    mac(BROADCAST_MAC),
    ipv4Octets(target),
  ]);
  return ethernet(source, BROADCAST_MAC, 0x0806, body);
}

export interface Udp {
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
}

/** Broadcast, of either IP version; IPv4 without a checksum of UDP. */
export function udp(source: string, { from, to, fromPort, toPort }: Udp, data = Buffer.alloc(8)): Buffer {
  const datagram = Buffer.concat([
    uint16(fromPort),
    uint16(toPort),
    uint16(8 + data.length),
    uint16(0),
    data,
  ]);
  if (from.includes(":")) return ipv6(source, from, to, UDP, checksummed(from, to, UDP, datagram, 6));
  const header = Buffer.concat([
    Buffer.from("4500", "hex"),
    uint16(20 + datagram.length),
    Buffer.from("0000000040110000", "hex"),
    ipv4Octets(from),
    ipv4Octets(to),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return ethernet(source, BROADCAST_MAC, 0x0800, Buffer.concat([header, datagram]));
}

/** To all nodes' MAC, with hop limit 255. */
export function ipv6(source: string, from: string, to: string, nextHeader: number, payload: Buffer): Buffer {
  const head = Buffer.concat([
    Buffer.from("60000000", "hex"),
    uint16(payload.length),
    Buffer.of(nextHeader, 255),
  ]);
  const packet = Buffer.concat([head, ipv6Octets(from), ipv6Octets(to), payload]);
  return ethernet(source, ALL_NODES_MAC, 0x86dd, packet);
}

export function icmpv6(source: string, from: string, to: string, message: Buffer): Buffer {
  return ipv6(source, from, to, ICMPV6, checksummed(from, to, ICMPV6, message, 2));
}

/** Behind an extension header that says nothing. */
export function icmpv6Behind(
  header: "destination" | "fragment",
  source: string,
  from: string,
  message: Buffer,
): Buffer {
  const inner = checksummed(from, ALL_NODES, ICMPV6, message, 2);
  // Destination options: PadN of 4. Fragment: offset 0, no more to come, as RFC 6946 has it.
  const rest =
    header === "destination"
      ? Buffer.of(ICMPV6, 0, 1, 4, 0, 0, 0, 0)
      : Buffer.of(ICMPV6, 0, 0, 0, 0, 0, 0, 1);
  return ipv6(source, from, ALL_NODES, header === "destination" ? 60 : 44, Buffer.concat([rest, inner]));
}

/** The later part of a fragmented ICMPv6 message, in which nobody sees what it is. */
export function laterFragment(source: string, from: string, message: Buffer): Buffer {
  const header = Buffer.of(ICMPV6, 0, 0, 8, 0, 0, 0, 1);
  return ipv6(source, from, ALL_NODES, 44, Buffer.concat([header, message]));
}

/** RFC 4861 section 4.2: a default router, and a prefix of 64 bits for hosts to make addresses in. */
export function routerAdvertisement(prefix: string): Buffer {
  const head = Buffer.from("8600000040000708" + "0000000000000000", "hex");
  const option = Buffer.concat([
    Buffer.from("030440c0" + "00015180" + "00003840" + "00000000", "hex"),
    ipv6Octets(prefix),
  ]);
  return Buffer.concat([head, option]);
}

/** RFC 4861 section 4.4, overriding what is cached. */
export function neighbourAdvertisement(target: string, macAddress: string): Buffer {
  return Buffer.concat([
    Buffer.from("8800000020000000", "hex"),
    ipv6Octets(target),
    Buffer.of(2, 1),
    mac(macAddress),
  ]);
}

/** RFC 4861 section 4.3, without options, as duplicate address detection sends it. */
export function neighbourSolicitation(target: string): Buffer {
  return Buffer.concat([Buffer.from("8700000000000000", "hex"), ipv6Octets(target)]);
}

export function redirect(target: string, destination: string): Buffer {
  return Buffer.concat([Buffer.from("8900000000000000", "hex"), ipv6Octets(target), ipv6Octets(destination)]);
}

export function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

function checksummed(from: string, to: string, protocol: number, message: Buffer, at: number): Buffer {
  const lengthAndProtocol = Buffer.concat([
    Buffer.alloc(2),
    uint16(message.length),
    Buffer.of(0, 0, 0, protocol),
  ]);
  const sum = checksum(Buffer.concat([ipv6Octets(from), ipv6Octets(to), lengthAndProtocol, message]));
  const filled = Buffer.from(message);
  filled.writeUInt16BE(sum, at);
  return filled;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

function ipv4Octets(address: string): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(parseIpv4(address) ?? 0);
  return octets;
}

function ipv6Octets(address: string): Buffer {
  return Buffer.from(parseIpv6(address) ?? []);
}
