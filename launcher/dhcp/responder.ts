/**
 * What a server with exactly one address for exactly one client answers (RFC 2131 section 4.3). Pure: the lease never
 * runs out on the server's side, because the address is the pod's for as long as the pod exists, so no clock is needed.
 */
import {
  type DhcpReply,
  type DhcpRequest,
  type Encoded,
  encodeReply,
  HEADER_BYTES,
  MESSAGE,
  type MessageType,
  wantsBroadcast,
} from "./codec.ts";
import { OPTION } from "./fields.ts";
import { addresses, leaseOptions, unsigned32 } from "./options.ts";
import type { Lease } from "./types.ts";

const ANY = "0.0.0.0";
const BROADCAST = "255.255.255.255";
/** What every client takes, IP and UDP headers included (RFC 2132 section 9.10). */
const DEFAULT_MESSAGE_BYTES = 576;
const IP_AND_UDP_HEADER_BYTES = 28;

export type SilenceReason =
  /** Not the client that the lease is for. */
  | "foreignClient"
  /** Nothing relays between a tap and its bridge, and a client must not choose where replies go. */
  | "relayed"
  /** The client chose another server. */
  | "otherServer"
  | "requestWithoutAddress"
  /** A message that only servers send. */
  | "serverMessage"
  /** DHCPINFORM from an address that isn't the guest's. */
  | "foreignAddress"
  | "declined"
  | "released";

export interface Answer {
  readonly kind: "offer" | "ack" | "nak";
  /** The ACK settles a DHCPREQUEST: the client now has its address. */
  readonly leased: boolean;
  readonly destination: string;
  readonly message: Encoded;
}

export type Decision =
  | { readonly silent: false; readonly answer: Answer }
  | { readonly silent: true; readonly reason: SilenceReason };

export function respond(request: DhcpRequest, lease: Lease): Decision {
  if (request.macAddress !== lease.macAddress) return silence("foreignClient");
  if (request.relayAddress !== ANY) return silence("relayed");
  switch (request.type) {
    case MESSAGE.discover:
      return offer(request, lease);
    case MESSAGE.request:
      return respondToRequest(request, lease);
    case MESSAGE.inform:
      return respondToInform(request, lease);
    case MESSAGE.decline:
      return forUs(request, lease) ? silence("declined") : silence("otherServer");
    case MESSAGE.release:
      return forUs(request, lease) ? silence("released") : silence("otherServer");
    case MESSAGE.offer:
    case MESSAGE.ack:
    case MESSAGE.nak:
      return silence("serverMessage");
  }
}

function silence(reason: SilenceReason): Decision {
  return { silent: true, reason };
}

/** Whether option 54, where present, names this server. */
function forUs(request: DhcpRequest, lease: Lease): boolean {
  const server = addressOption(request, OPTION.serverIdentifier);
  return server === undefined || server === lease.serverAddress;
}

function addressOption(request: DhcpRequest, code: number): string | undefined {
  const value = request.options.get(code);
  return value === undefined ? undefined : [...value].join(".");
}

function offer(request: DhcpRequest, lease: Lease): Decision {
  return grant(request, lease, "offer");
}

/** The four states of RFC 2131 section 4.3.2 differ in where the address stands; the answer depends on it alone. */
function respondToRequest(request: DhcpRequest, lease: Lease): Decision {
  if (!forUs(request, lease)) return silence("otherServer");
  const requested = addressOption(request, OPTION.requestedAddress);
  const selecting = request.options.has(OPTION.serverIdentifier);
  // SELECTING and INIT-REBOOT: option 50. RENEWING and REBINDING: ciaddr, and nothing else counts.
  const known = request.clientAddress === ANY ? undefined : request.clientAddress;
  const address = selecting ? (requested ?? known) : (known ?? requested);
  if (address === undefined) return silence("requestWithoutAddress");
  if (address !== lease.address) return refuse(request, lease, address);
  return grant(request, lease, "ack");
}

function respondToInform(request: DhcpRequest, lease: Lease): Decision {
  // The guard lets a guest use no other address, and a reply must not go where a guest wants it to.
  if (request.clientAddress !== lease.address) return silence("foreignAddress");
  const reply: DhcpReply = {
    ...replyTo(request),
    clientAddress: request.clientAddress,
    yourAddress: ANY,
    options: [
      ...identity(MESSAGE.ack, lease),
      ...parameters(request, lease, new Set(TIMES)),
      ...echoed(request),
    ],
  };
  return answer(request, reply, { kind: "ack", leased: false, destination: lease.address });
}

function grant(request: DhcpRequest, lease: Lease, kind: "offer" | "ack"): Decision {
  const renewing = request.clientAddress === lease.address;
  const reply: DhcpReply = {
    ...replyTo(request),
    // Table 3 of RFC 2131: ciaddr is echoed in an ACK and zero in an OFFER.
    clientAddress: kind === "ack" && renewing ? request.clientAddress : ANY,
    yourAddress: lease.address,
    options: [
      ...identity(kind === "ack" ? MESSAGE.ack : MESSAGE.offer, lease),
      [OPTION.leaseTime, unsigned32(lease.leaseSeconds)],
      [OPTION.renewalTime, unsigned32(lease.renewalSeconds)],
      [OPTION.rebindingTime, unsigned32(lease.rebindingSeconds)],
      ...parameters(request, lease, new Set(TIMES)),
      ...echoed(request),
    ],
  };
  // A client with an address hears unicast whatever its flag says; a client without one says whether it does. The
  // launcher's namespace holds a permanent neighbour for the guest, so a unicast needs no ARP.
  const destination = !renewing && wantsBroadcast(request) ? BROADCAST : lease.address;
  return answer(request, reply, { kind, leased: kind === "ack", destination });
}

/** RFC 2131 table 3 leaves a NAK no parameters; without a relay it is always broadcast (section 4.1). */
function refuse(request: DhcpRequest, lease: Lease, address: string): Decision {
  const text = `${address} is not the address of this machine, ${lease.address} is`;
  const reply: DhcpReply = {
    ...replyTo(request),
    clientAddress: ANY,
    yourAddress: ANY,
    options: [
      ...identity(MESSAGE.nak, lease),
      [OPTION.message, Buffer.from(text, "ascii")],
      ...echoed(request),
    ],
  };
  return answer(request, reply, { kind: "nak", leased: false, destination: BROADCAST });
}

type ReplyOption = readonly [code: number, value: Uint8Array];

const TIMES: readonly number[] = [OPTION.leaseTime, OPTION.renewalTime, OPTION.rebindingTime];

function replyTo(request: DhcpRequest): Pick<DhcpReply, "transactionId" | "flags" | "macAddress"> {
  return { transactionId: request.transactionId, flags: request.flags, macAddress: request.macAddress };
}

function identity(type: MessageType, lease: Lease): ReplyOption[] {
  return [
    [OPTION.messageType, Uint8Array.of(type)],
    [OPTION.serverIdentifier, addresses([lease.serverAddress])],
  ];
}

/** RFC 6842: the client identifier as it came. RFC 3046 section 2.2: the relay's option as it came, last. */
function echoed(request: DhcpRequest): ReplyOption[] {
  return [OPTION.clientIdentifier, OPTION.relayAgent].flatMap((code) => {
    const value = request.options.get(code);
    return value === undefined ? [] : [[code, value] as const];
  });
}

/** In the order that the client asked for (option 55), each once; everything there is when it asked for nothing. */
function parameters(request: DhcpRequest, lease: Lease, besides: ReadonlySet<number>): ReplyOption[] {
  const available = leaseOptions(lease);
  const asked = request.options.get(OPTION.parameterList);
  const wanted = new Set(asked ?? available.keys());
  if (asked === undefined) wanted.delete(OPTION.classlessRoutesMicrosoft);
  return maskFirst([...wanted]).flatMap((code) => {
    const value = besides.has(code) ? undefined : available.get(code);
    return value === undefined ? [] : [[code, value] as const];
  });
}

/** The mask must come before the router (RFC 2132 section 3.3), whatever the client's order. */
function maskFirst(codes: readonly number[]): readonly number[] {
  const router = codes.indexOf(OPTION.router);
  const mask = codes.indexOf(OPTION.subnetMask);
  if (router < 0 || mask < router) return codes;
  return codes.toSpliced(mask, 1).toSpliced(router, 0, OPTION.subnetMask);
}

function answer(request: DhcpRequest, reply: DhcpReply, rest: Omit<Answer, "message">): Decision {
  return { silent: false, answer: { ...rest, message: encodeReply(reply, maximumBytes(request)) } };
}

/** Option 57 counts the IP and UDP headers; a value below the protocol's minimum is taken as the minimum. */
function maximumBytes(request: DhcpRequest): number {
  const value = request.options.get(OPTION.maximumSize);
  const asked = value === undefined ? DEFAULT_MESSAGE_BYTES : ((value[0] ?? 0) << 8) | (value[1] ?? 0);
  const bounded = Math.min(Math.max(asked, DEFAULT_MESSAGE_BYTES), 1500);
  return Math.max(bounded - IP_AND_UDP_HEADER_BYTES, HEADER_BYTES);
}
