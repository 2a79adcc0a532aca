/** Ethernet and ICMPv6 as octets. Pure. */

const ICMPV6 = 58;
/** RFC 4861 section 7.1: what came through a router is no neighbour's. */
const HOP_LIMIT = 255;
export const ALL_NODES = Buffer.from("ff020000000000000000000000000001", "hex");

export function macOctets(macAddress: string): Buffer {
  return Buffer.from(macAddress.replaceAll(":", ""), "hex");
}

export function ethernet(destination: string, source: string, etherType: number, payload: Buffer): Buffer {
  const type = Buffer.of(etherType >> 8, etherType & 0xff);
  return Buffer.concat([macOctets(destination), macOctets(source), type, payload]);
}

/** To all nodes of the link; fills in the message's checksum (RFC 8200 section 8.1). Of an even number of octets. */
export function icmpv6Packet(source: Uint8Array, message: Buffer): Buffer {
  const pseudoHeader = Buffer.concat([
    source,
    ALL_NODES,
    Buffer.of(0, 0, 0, message.length, 0, 0, 0, ICMPV6),
  ]);
  message.writeUInt16BE(checksum(Buffer.concat([pseudoHeader, message])), 2);
  const header = Buffer.of(0x60, 0, 0, 0, 0, message.length, ICMPV6, HOP_LIMIT);
  return Buffer.concat([header, source, ALL_NODES, message]);
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
