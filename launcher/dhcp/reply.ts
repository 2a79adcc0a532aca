/** Writes DHCPv4 replies (RFC 2131, 2132). Pure. */
import { parseIpv4 } from "../../lib/cidr.ts";
import {
  CHADDR,
  ETHERNET,
  ETHERNET_ADDRESS_BYTES,
  FILE,
  HEADER_BYTES,
  MAGIC_COOKIE,
  OPTION,
  SNAME,
} from "./fields.ts";

/** Many clients and relays drop anything shorter than a BOOTP message (RFC 1542 section 2.1). */
export const MINIMUM_MESSAGE_BYTES = 300;

const BOOT_REPLY = 2;
const END = 255;
const LONGEST_PART = 255;
const OVERLOAD_OPTION_BYTES = 3;

export type ReplyOption = readonly [code: number, value: Uint8Array];

/** Where a network boot takes its file from: siaddr, sname and file of the header, beside options 66 and 67. */
export interface NextServer {
  /** `0.0.0.0` where the server has no address that is known. */
  readonly address: string;
  /** ASCII; empty for none. */
  readonly serverName: string;
  readonly fileName: string;
}

export interface DhcpReply {
  readonly transactionId: number;
  readonly flags: number;
  readonly clientAddress: string;
  readonly yourAddress: string;
  readonly relayAddress: string;
  readonly nextServer?: NextServer | undefined;
  /** 16 bytes, as they came. */
  readonly hardwareAddress: Uint8Array;
  /** What makes it a reply: type, server, times. First on the wire, never left out; at most 64 bytes with codes and lengths. */
  readonly identity: readonly ReplyOption[];
  /** In the order in which they are written; the last are the first to be left out. */
  readonly parameters: readonly ReplyOption[];
  /** What the client or its relay wants to see again, at the end. Comes before parameters where room is short. */
  readonly echoed: readonly ReplyOption[];
}

export interface Encoded {
  readonly bytes: Uint8Array;
  /** Codes of options for which the client's limit left no room. */
  readonly omitted: readonly number[];
}

/**
 * Writes a reply of at most `maximumBytes` (UDP payload, at least 300). Parameters that don't fit into the options field
 * go into `file` and `sname` (option 52); what fits nowhere is left out and named.
 */
export function encodeReply(reply: DhcpReply, maximumBytes: number): Encoded {
  const room = Math.max(maximumBytes, MINIMUM_MESSAGE_BYTES) - HEADER_BYTES - 1;
  const { options, file, sname, omitted } = place(reply, room);
  const bytes = new Uint8Array(Math.max(HEADER_BYTES + sizeOf(options) + 1, MINIMUM_MESSAGE_BYTES));
  writeHeader(bytes, reply);
  // A field that holds options can't hold a name; options 66 and 67 say it in any case (RFC 2132 section 9.4).
  if (file.length > 0) writeOptions(bytes, FILE.start, file);
  else writeName(bytes, FILE, reply.nextServer?.fileName ?? "");
  if (sname.length > 0) writeOptions(bytes, SNAME.start, sname);
  else writeName(bytes, SNAME, reply.nextServer?.serverName ?? "");
  writeOptions(bytes, HEADER_BYTES, options);
  return { bytes, omitted };
}

function writeHeader(bytes: Uint8Array, reply: DhcpReply): void {
  const view = new DataView(bytes.buffer);
  view.setUint8(0, BOOT_REPLY);
  view.setUint8(1, ETHERNET);
  view.setUint8(2, ETHERNET_ADDRESS_BYTES);
  view.setUint32(4, reply.transactionId);
  view.setUint16(10, reply.flags);
  view.setUint32(12, parseIpv4(reply.clientAddress) ?? 0);
  view.setUint32(16, parseIpv4(reply.yourAddress) ?? 0);
  view.setUint32(20, parseIpv4(reply.nextServer?.address ?? "") ?? 0);
  view.setUint32(24, parseIpv4(reply.relayAddress) ?? 0);
  bytes.set(reply.hardwareAddress, CHADDR.start);
  view.setUint32(236, MAGIC_COOKIE);
}

interface Placement {
  readonly options: readonly ReplyOption[];
  readonly file: readonly ReplyOption[];
  readonly sname: readonly ReplyOption[];
  readonly omitted: readonly number[];
}

function place({ identity, parameters, echoed }: DhcpReply, room: number): Placement {
  if (sizeOf(identity) + sizeOf(parameters) + sizeOf(echoed) <= room) {
    return { options: [...identity, ...parameters, ...echoed], file: [], sname: [], omitted: [] };
  }
  const omitted: number[] = [];
  let left = room - OVERLOAD_OPTION_BYTES - sizeOf(identity);
  const last: ReplyOption[] = [];
  for (const option of echoed) {
    const size = sizeOf([option]);
    if (size > left) omitted.push(option[0]);
    else {
      last.push(option);
      left -= size;
    }
  }
  const fields = [
    { options: [] as ReplyOption[], left },
    { options: [] as ReplyOption[], left: FILE.length - 1 },
    { options: [] as ReplyOption[], left: SNAME.length - 1 },
  ];
  for (const option of parameters) {
    const size = sizeOf([option]);
    const field = fields.find((candidate) => size <= candidate.left);
    if (field === undefined) omitted.push(option[0]);
    else {
      field.options.push(option);
      field.left -= size;
    }
  }
  const [main = [], file = [], sname = []] = fields.map(({ options }) => options);
  const overload = (file.length > 0 ? 1 : 0) | (sname.length > 0 ? 2 : 0);
  const overloaded: ReplyOption[] = overload === 0 ? [] : [[OPTION.overload, Uint8Array.of(overload)]];
  return { options: [...identity, ...main, ...overloaded, ...last], file, sname, omitted };
}

/** Bytes on the wire. A value longer than 255 bytes is written as several options of its code (RFC 3396 section 4). */
function sizeOf(options: readonly ReplyOption[]): number {
  let size = 0;
  for (const option of options) {
    const { length } = option[1];
    size += length + 2 * Math.max(1, Math.ceil(length / LONGEST_PART));
  }
  return size;
}

function writeOptions(bytes: Uint8Array, start: number, options: readonly ReplyOption[]): void {
  let at = start;
  for (const option of options) {
    const value = option[1];
    for (let from = 0; from === 0 || from < value.length; from += LONGEST_PART) {
      const end = Math.min(from + LONGEST_PART, value.length);
      bytes[at++] = option[0];
      bytes[at++] = end - from;
      // Options are short: copying them here makes no view of them, and so next to no garbage.
      for (let read = from; read < end; read++) bytes[at++] = value[read] ?? 0;
    }
  }
  bytes[at] = END;
}

/** A name that doesn't fit with its NUL stands in its option alone. */
function writeName(bytes: Uint8Array, field: { start: number; length: number }, name: string): void {
  if (name !== "" && name.length < field.length) bytes.set(Buffer.from(name, "ascii"), field.start);
}
