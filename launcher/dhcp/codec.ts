/**
 * DHCPv4 messages as bytes (RFC 2131, 2132) and back. Pure; no input makes it throw: what can't be read comes back
 * as the reason why it was dropped.
 */
import { formatIpv4, parseIpv4 } from "../../lib/cidr.ts";
import { fieldLengthsValid, OPTION } from "./fields.ts";

/** Bytes before the options: the BOOTP fields and the magic cookie. */
export const HEADER_BYTES = 240;
/** Many clients and relays drop anything shorter than a BOOTP message (RFC 1542 section 2.1). */
export const MINIMUM_MESSAGE_BYTES = 300;
/** A guest has no reason to send more than one Ethernet frame. */
export const MAXIMUM_REQUEST_BYTES = 1500;

const MAGIC_COOKIE = 0x63825363;
const SNAME = { start: 44, length: 64 };
const FILE = { start: 108, length: 128 };
const PAD = 0;
const END = 255;
const ETHERNET = 1;
const ETHERNET_ADDRESS_BYTES = 6;
const BROADCAST_FLAG = 0x8000;

export const MESSAGE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;
export type MessageType = (typeof MESSAGE)[keyof typeof MESSAGE];

export type MalformedReason =
  | "tooShort"
  | "tooLong"
  | "notARequest"
  | "badHardwareType"
  | "badHardwareLength"
  | "badCookie"
  | "truncatedOption"
  | "badOverload"
  | "noMessageType"
  | "badMessageType"
  | "badOptionLength";

/** Option code → value; values of an option that came in parts are joined (RFC 3396). */
export type Options = ReadonlyMap<number, Uint8Array>;

export interface DhcpRequest {
  readonly type: MessageType;
  readonly transactionId: number;
  readonly flags: number;
  readonly clientAddress: string;
  readonly relayAddress: string;
  /** `52:54:00:12:34:56` */
  readonly macAddress: string;
  readonly options: Options;
}

export interface DhcpReply {
  readonly transactionId: number;
  readonly flags: number;
  readonly clientAddress: string;
  readonly yourAddress: string;
  readonly macAddress: string;
  /** In the order in which they are written. */
  readonly options: readonly (readonly [code: number, value: Uint8Array])[];
}

export type Decoded =
  | { readonly ok: true; readonly request: DhcpRequest }
  | { readonly ok: false; readonly reason: MalformedReason };

/** Reads what a client sent. Only Ethernet clients exist behind a tap. */
export function decodeRequest(bytes: Uint8Array): Decoded {
  if (bytes.length < HEADER_BYTES) return dropped("tooShort");
  if (bytes.length > MAXIMUM_REQUEST_BYTES) return dropped("tooLong");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(0) !== 1) return dropped("notARequest");
  if (view.getUint8(1) !== ETHERNET) return dropped("badHardwareType");
  if (view.getUint8(2) !== ETHERNET_ADDRESS_BYTES) return dropped("badHardwareLength");
  if (view.getUint32(236) !== MAGIC_COOKIE) return dropped("badCookie");

  const options = readOptions(bytes);
  if (typeof options === "string") return dropped(options);
  if (!fieldLengthsValid(options)) return dropped("badOptionLength");
  const typeOption = options.get(OPTION.messageType);
  if (typeOption === undefined) return dropped("noMessageType");
  const type = messageType(typeOption);
  if (type === undefined) return dropped("badMessageType");

  return {
    ok: true,
    request: {
      type,
      transactionId: view.getUint32(4),
      flags: view.getUint16(10),
      clientAddress: formatIpv4(view.getUint32(12)),
      relayAddress: formatIpv4(view.getUint32(24)),
      macAddress: formatMac(bytes.subarray(28, 28 + ETHERNET_ADDRESS_BYTES)),
      options,
    },
  };
}

export function wantsBroadcast(request: DhcpRequest): boolean {
  return (request.flags & BROADCAST_FLAG) !== 0;
}

function dropped(reason: MalformedReason): Decoded {
  return { ok: false, reason };
}

function messageType(value: Uint8Array): MessageType | undefined {
  if (value.length !== 1) return undefined;
  return Object.values(MESSAGE).find((type) => type === value[0]);
}

/** The options field first, then `file`, then `sname` where option 52 says so: the order of RFC 3396 section 5. */
function readOptions(bytes: Uint8Array): Options | MalformedReason {
  const parts = new Map<number, Uint8Array[]>();
  if (!collect(bytes.subarray(HEADER_BYTES), parts)) return "truncatedOption";
  const overload = parts.get(OPTION.overload);
  if (overload !== undefined) {
    const value = overload.length === 1 && overload[0]?.length === 1 ? overload[0][0] : undefined;
    if (value !== 1 && value !== 2 && value !== 3) return "badOverload";
    // An overload option inside an overloaded field is without meaning: `value` was read once, above.
    if (value & 1 && !collect(field(bytes, FILE), parts)) return "truncatedOption";
    if (value & 2 && !collect(field(bytes, SNAME), parts)) return "truncatedOption";
  }
  return new Map([...parts].map(([code, values]) => [code, join(values)]));
}

/** Reads until END or the end of the field, which some clients leave out. False when an option is cut short. */
function collect(bytes: Uint8Array, parts: Map<number, Uint8Array[]>): boolean {
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at++] ?? END;
    if (code === END) return true;
    if (code === PAD) continue;
    const length = bytes[at++];
    if (length === undefined || at + length > bytes.length) return false;
    const value = bytes.subarray(at, at + length);
    const earlier = parts.get(code);
    if (earlier === undefined) parts.set(code, [value]);
    else earlier.push(value);
    at += length;
  }
  return true;
}

function field(bytes: Uint8Array, { start, length }: { start: number; length: number }): Uint8Array {
  return bytes.subarray(start, start + length);
}

function join(values: readonly Uint8Array[]): Uint8Array {
  return values.length === 1 && values[0] !== undefined ? values[0] : Buffer.concat(values);
}

export interface Encoded {
  readonly bytes: Uint8Array;
  /** Codes of options for which the client's limit left no room. */
  readonly omitted: readonly number[];
}

/**
 * Writes a reply of at most `maximumBytes` (UDP payload, at least 300). Options that don't fit into the options field
 * go into `file` and `sname` (option 52); what fits nowhere is left out and named.
 */
export function encodeReply(reply: DhcpReply, maximumBytes: number): Encoded {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint8(0, 2);
  view.setUint8(1, ETHERNET);
  view.setUint8(2, ETHERNET_ADDRESS_BYTES);
  view.setUint32(4, reply.transactionId);
  view.setUint16(10, reply.flags);
  view.setUint32(12, parseIpv4(reply.clientAddress) ?? 0);
  view.setUint32(16, parseIpv4(reply.yourAddress) ?? 0);
  header.set(parseMac(reply.macAddress), 28);
  view.setUint32(236, MAGIC_COOKIE);

  const room = Math.max(maximumBytes, MINIMUM_MESSAGE_BYTES) - HEADER_BYTES - 1;
  const wire = reply.options.map(([code, value]) => ({ code, bytes: splitOption(code, value) }));
  const { inOptions, inFile, inSname, omitted } = place(wire, room);
  if (inFile.length > 0) header.set([...Buffer.concat(inFile), END], FILE.start);
  if (inSname.length > 0) header.set([...Buffer.concat(inSname), END], SNAME.start);
  const message = Buffer.concat([header, ...inOptions, Uint8Array.of(END)]);
  const padded = new Uint8Array(Math.max(message.length, MINIMUM_MESSAGE_BYTES));
  padded.set(message);
  return { bytes: padded, omitted };
}

interface WireOption {
  readonly code: number;
  readonly bytes: Uint8Array;
}

const OVERLOAD_OPTION_BYTES = 3;

function place(wire: readonly WireOption[], room: number) {
  const total = wire.reduce((sum, option) => sum + option.bytes.length, 0);
  // The relay's option comes last (RFC 3046 section 2.2), so its place is set aside before the others are laid out.
  const relay = wire.filter(({ code }) => code === OPTION.relayAgent);
  const relayBytes = relay.reduce((sum, option) => sum + option.bytes.length, 0);
  let left = room - relayBytes - (total > room ? OVERLOAD_OPTION_BYTES : 0);
  let fileLeft = total > room ? FILE.length - 1 : 0;
  let snameLeft = total > room ? SNAME.length - 1 : 0;
  const inOptions: Uint8Array[] = [];
  const inFile: Uint8Array[] = [];
  const inSname: Uint8Array[] = [];
  const omitted: number[] = [];
  for (const { code, bytes } of wire) {
    if (code === OPTION.relayAgent) continue;
    if (bytes.length <= left) {
      inOptions.push(bytes);
      left -= bytes.length;
    } else if (bytes.length <= fileLeft) {
      inFile.push(bytes);
      fileLeft -= bytes.length;
    } else if (bytes.length <= snameLeft) {
      inSname.push(bytes);
      snameLeft -= bytes.length;
    } else omitted.push(code);
  }
  const overload = (inFile.length > 0 ? 1 : 0) | (inSname.length > 0 ? 2 : 0);
  if (overload !== 0) inOptions.push(Uint8Array.of(OPTION.overload, 1, overload));
  if (relayBytes <= room) inOptions.push(...relay.map(({ bytes }) => bytes));
  else omitted.push(OPTION.relayAgent);
  return { inOptions, inFile, inSname, omitted };
}

/** A value longer than 255 bytes is written as several options of the same code (RFC 3396 section 4). */
function splitOption(code: number, value: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const part = value.subarray(at, at + 255);
    parts.push(Uint8Array.of(code, part.length), part);
  }
  return Buffer.concat(parts);
}

function formatMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function parseMac(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}
