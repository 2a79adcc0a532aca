/** Messages of nfnetlink_log (linux/netfilter/nfnetlink_log.h), by which the kernel tells of packets that rules log. Pure. */

const NLMSG_HEADER_BYTES = 16;
const NFGENMSG_BYTES = 4;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLMSG_ERROR = 2;

const SUBSYSTEM_ULOG = 4;
const PACKET = 0;
const CONFIG = 1;

const CONFIG_COMMAND = 1;
const CONFIG_MODE = 2;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
const MAX_COPY_BYTES = 0xffff;

const PREFIX = 10;
const PAYLOAD = 9;
const HARDWARE_HEADER = 16;

/** A packet that a rule logged. */
export interface LoggedPacket {
  /** The rule's own words. */
  readonly prefix: string;
  /** The frame's Ethernet header; absent where the packet came over no link. */
  readonly header?: Buffer;
  /** What follows it, cut to what the rule asks for. */
  readonly payload: Buffer;
}

export type NflogMessage =
  | { readonly type: "packet"; readonly packet: LoggedPacket }
  /** Answer to a request: 0, or an errno. */
  | { readonly type: "answer"; readonly errno: number };

/** Asks for the packets of a group; how much of each is for the rule to say. */
export function bindRequest(group: number): Buffer {
  const mode = Buffer.alloc(6);
  mode.writeUInt32BE(MAX_COPY_BYTES, 0);
  mode.writeUInt8(COPY_PACKET, 4);
  const attributes = Buffer.concat([
    attribute(CONFIG_COMMAND, Buffer.of(COMMAND_BIND)),
    attribute(CONFIG_MODE, mode),
  ]);
  const header = Buffer.alloc(NLMSG_HEADER_BYTES + NFGENMSG_BYTES);
  header.writeUInt32LE(header.length + attributes.length, 0);
  header.writeUInt16LE((SUBSYSTEM_ULOG << 8) | CONFIG, 4);
  header.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6);
  // struct nfgenmsg: family unspecified, version 0, and the group in network order.
  header.writeUInt16BE(group, NLMSG_HEADER_BYTES + 2);
  return Buffer.concat([header, attributes]);
}

/** A datagram may hold several messages; what is cut short or of another kind is left out. */
export function parseNflog(datagram: Buffer): readonly NflogMessage[] {
  const found: NflogMessage[] = [];
  for (let at = 0; at + NLMSG_HEADER_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < NLMSG_HEADER_BYTES || at + length > datagram.length) break;
    const message = parseMessage(
      datagram.readUInt16LE(at + 4),
      datagram.subarray(at + NLMSG_HEADER_BYTES, at + length),
    );
    if (message !== undefined) found.push(message);
    at += aligned(length);
  }
  return found;
}

function parseMessage(type: number, body: Buffer): NflogMessage | undefined {
  if (type === NLMSG_ERROR && body.length >= 4) return { type: "answer", errno: -body.readInt32LE(0) };
  if (type !== ((SUBSYSTEM_ULOG << 8) | PACKET) || body.length < NFGENMSG_BYTES) return undefined;
  const attributes = parseAttributes(body.subarray(NFGENMSG_BYTES));
  const prefix = attributes.get(PREFIX)?.toString("latin1").replace(/\0.*$/s, "") ?? "";
  const header = attributes.get(HARDWARE_HEADER);
  const payload = attributes.get(PAYLOAD) ?? Buffer.alloc(0);
  return { type: "packet", packet: { prefix, payload, ...(header !== undefined && { header }) } };
}

function parseAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += aligned(length);
  }
  return attributes;
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(aligned(ATTRIBUTE_HEADER_BYTES + value.length));
  bytes.writeUInt16LE(ATTRIBUTE_HEADER_BYTES + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** Netlink's alignment of messages and attributes. */
function aligned(length: number): number {
  return (length + 3) & ~3;
}
