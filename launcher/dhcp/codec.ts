/**
 * Reads DHCPv4 messages (RFC 2131, 2132). Pure; no input makes it throw: what can't be read comes back as the reason
 * why it was dropped.
 */
import { formatIpv4 } from "../../lib/cidr.ts";
import {
  CHADDR,
  ETHERNET,
  ETHERNET_ADDRESS_BYTES,
  FILE,
  fieldLengthsValid,
  HEADER_BYTES,
  MAGIC_COOKIE,
  OPTION,
  SNAME,
} from "./fields.ts";

/** A guest has no reason to send more than one Ethernet frame. */
export const MAXIMUM_REQUEST_BYTES = 1500;

const PAD = 0;
const END = 255;
export const BROADCAST_FLAG = 0x8000;

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
  /** chaddr, all 16 bytes of it. */
  readonly hardwareAddress: Uint8Array;
  readonly options: Options;
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
      macAddress: formatMac(bytes),
      hardwareAddress: field(bytes, CHADDR),
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
  const [type = 0] = value;
  const isKnown = value.length === 1 && type >= MESSAGE.discover && type <= MESSAGE.inform;
  return isKnown ? (type as MessageType) : undefined;
}

/** The options field first, then `file`, then `sname` where option 52 says so: the order of RFC 3396 section 5. */
function readOptions(bytes: Uint8Array): Options | MalformedReason {
  const options = new Map<number, Uint8Array>();
  if (!collect(bytes.subarray(HEADER_BYTES), options)) return "truncatedOption";
  const overload = options.get(OPTION.overload);
  if (overload !== undefined) {
    const value = overload.length === 1 ? overload[0] : undefined;
    if (value !== 1 && value !== 2 && value !== 3) return "badOverload";
    // An overload option inside an overloaded field is without meaning: `value` was read once, above.
    if (value & 1 && !collect(field(bytes, FILE), options)) return "truncatedOption";
    if (value & 2 && !collect(field(bytes, SNAME), options)) return "truncatedOption";
  }
  return options;
}

/** Reads until END or the end of the field, which some clients leave out. False when an option is cut short. */
function collect(bytes: Uint8Array, options: Map<number, Uint8Array>): boolean {
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at++] ?? END;
    if (code === END) return true;
    if (code === PAD) continue;
    const length = bytes[at++];
    if (length === undefined || at + length > bytes.length) return false;
    const value = bytes.subarray(at, at + length);
    const earlier = options.get(code);
    options.set(code, earlier === undefined ? value : Buffer.concat([earlier, value]));
    at += length;
  }
  return true;
}

function field(bytes: Uint8Array, { start, length }: { start: number; length: number }): Uint8Array {
  return bytes.subarray(start, start + length);
}

const HEXADECIMAL = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function formatMac(message: Uint8Array): string {
  let text = "";
  for (let at = 0; at < ETHERNET_ADDRESS_BYTES; at++) {
    text += (at === 0 ? "" : ":") + HEXADECIMAL[message[CHADDR.start + at] ?? 0];
  }
  return text;
}
