/**
 * What a server with exactly one address for exactly one client answers (RFC 2131 section 4.3). Pure: the lease never
 * runs out on the server's side, because the address is the pod's for as long as the pod exists, so no clock is needed.
 */
import { formatIpv4 } from "../../lib/cidr.ts";
import { BROADCAST_FLAG, type DhcpRequest, MESSAGE, type MessageType, wantsBroadcast } from "./codec.ts";
import { OPTION } from "./fields.ts";
import { type DhcpReply, type Encoded, encodeReply, type ReplyOption } from "./reply.ts";
import type { Terms } from "./terms.ts";
import type { Lease } from "./types.ts";

const SERVER_PORT = 67;
const CLIENT_PORT = 68;
const ANY = "0.0.0.0";
const BROADCAST = "255.255.255.255";
/** What every client takes, IP and UDP headers included (RFC 2132 section 9.10). */
const DEFAULT_MESSAGE_BYTES = 576;
const IP_AND_UDP_HEADER_BYTES = 28;

export type SilenceReason =
  /** Not the client that the lease is for. */
  | "foreignClient"
  /** By way of a relay that isn't the guest itself: a client must not choose where replies go. */
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
  readonly port: number;
  readonly message: Encoded;
}

export type Decision =
  | { readonly silent: false; readonly answer: Answer }
  | { readonly silent: true; readonly reason: SilenceReason };

export function respond(request: DhcpRequest, terms: Terms): Decision {
  const { lease } = terms;
  if (request.macAddress !== lease.macAddress) return silence("foreignClient");
  if (request.relayAddress !== ANY && request.relayAddress !== lease.address) return silence("relayed");
  switch (request.type) {
    case MESSAGE.discover:
      return grant(request, terms, "offer");
    case MESSAGE.request:
      return respondToRequest(request, terms);
    case MESSAGE.inform:
      return respondToInform(request, terms);
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
  if (value === undefined) return undefined;
  return formatIpv4(new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0));
}

/** The four states of RFC 2131 section 4.3.2 differ in where the address stands; the answer depends on it alone. */
function respondToRequest(request: DhcpRequest, terms: Terms): Decision {
  if (!forUs(request, terms.lease)) return silence("otherServer");
  const requested = addressOption(request, OPTION.requestedAddress);
  const selecting = request.options.has(OPTION.serverIdentifier);
  // SELECTING and INIT-REBOOT: option 50. RENEWING and REBINDING: ciaddr, and nothing else counts.
  const known = request.clientAddress === ANY ? undefined : request.clientAddress;
  const address = selecting ? (requested ?? known) : (known ?? requested);
  if (address === undefined) return silence("requestWithoutAddress");
  if (address !== terms.lease.address) return refuse(request, terms, address);
  return grant(request, terms, "ack");
}

function respondToInform(request: DhcpRequest, terms: Terms): Decision {
  const { address } = terms.lease;
  // The guard lets a guest use no other address, and a reply must not go where a guest wants it to.
  if (request.clientAddress !== address) return silence("foreignAddress");
  const reply: DhcpReply = {
    ...replyTo(request),
    clientAddress: request.clientAddress,
    nextServer: terms.nextServer,
    identity: identity(MESSAGE.ack, terms),
    parameters: parameters(request, terms),
  };
  return answer(request, terms, reply, { kind: "ack", leased: false, destination: address });
}

function grant(request: DhcpRequest, terms: Terms, kind: "offer" | "ack"): Decision {
  const { address } = terms.lease;
  const renewing = request.clientAddress === address;
  const reply: DhcpReply = {
    ...replyTo(request),
    // Table 3 of RFC 2131: ciaddr is echoed in an ACK and zero in an OFFER.
    clientAddress: kind === "ack" && renewing ? address : ANY,
    yourAddress: address,
    nextServer: terms.nextServer,
    identity: [...identity(kind === "ack" ? MESSAGE.ack : MESSAGE.offer, terms), ...terms.times],
    parameters: parameters(request, terms),
  };
  // A client with an address hears unicast whatever its flag says; a client without one says whether it does. The
  // launcher's namespace holds a permanent neighbour for the guest, so a unicast needs no ARP.
  const destination = !renewing && wantsBroadcast(request) ? BROADCAST : address;
  return answer(request, terms, reply, { kind, leased: kind === "ack", destination });
}

/**
 * RFC 2131 table 3 leaves a NAK no parameters. Without a relay it is always broadcast (section 4.1); a relay is told to
 * broadcast it (section 4.3.2).
 */
function refuse(request: DhcpRequest, terms: Terms, address: string): Decision {
  const text = `${address} is not the address of this machine, ${terms.lease.address} is`;
  const reply: DhcpReply = {
    ...replyTo(request),
    flags: request.relayAddress === ANY ? request.flags : request.flags | BROADCAST_FLAG,
    identity: identity(MESSAGE.nak, terms),
    parameters: [[OPTION.message, Buffer.from(text, "ascii")]],
  };
  return answer(request, terms, reply, { kind: "nak", leased: false, destination: BROADCAST });
}

function replyTo(request: DhcpRequest): Omit<DhcpReply, "identity" | "parameters"> {
  return {
    transactionId: request.transactionId,
    flags: request.flags,
    clientAddress: ANY,
    yourAddress: ANY,
    relayAddress: request.relayAddress,
    hardwareAddress: request.hardwareAddress,
    echoed: echoed(request),
  };
}

const TYPE_OPTIONS: readonly ReplyOption[] = Array.from({ length: MESSAGE.inform + 1 }, (_, type) => [
  OPTION.messageType,
  Uint8Array.of(type),
]);

function identity(type: MessageType, terms: Terms): ReplyOption[] {
  return [TYPE_OPTIONS[type] ?? [OPTION.messageType, Uint8Array.of(type)], terms.serverIdentifier];
}

const ECHOED = [OPTION.clientIdentifier, OPTION.relayAgent] as const;

/** RFC 6842: the client identifier as it came. RFC 3046 section 2.2: the relay's option as it came, last. */
function echoed(request: DhcpRequest): ReplyOption[] {
  const options: ReplyOption[] = [];
  for (const code of ECHOED) {
    const value = request.options.get(code);
    if (value !== undefined) options.push([code, value]);
  }
  return options;
}

/** In the order that the client asked for (option 55), each once; everything there is when it asked for nothing. */
function parameters(request: DhcpRequest, terms: Terms): ReplyOption[] {
  const options: ReplyOption[] = [];
  const add = (code: number): void => {
    const option = terms.parameters.get(code);
    if (option === undefined || options.includes(option)) return;
    // The mask must come before the router (RFC 2132 section 3.3), whatever the client's order.
    const router = code === OPTION.subnetMask ? options.findIndex(([other]) => other === OPTION.router) : -1;
    if (router < 0) options.push(option);
    else options.splice(router, 0, option);
  };
  for (const code of request.options.get(OPTION.parameterList) ?? terms.usual) add(code);
  for (const code of terms.unasked) add(code);
  return options;
}

function answer(
  request: DhcpRequest,
  terms: Terms,
  reply: DhcpReply,
  rest: Pick<Answer, "kind" | "leased" | "destination">,
): Decision {
  const message = encodeReply(reply, maximumBytes(request, terms));
  const to =
    request.relayAddress === ANY
      ? { destination: rest.destination, port: CLIENT_PORT }
      : { destination: request.relayAddress, port: SERVER_PORT };
  return { silent: false, answer: { ...rest, ...to, message } };
}

/** UDP payload. Option 57 counts the IP and UDP headers; a value below the protocol's minimum is taken as the minimum. */
function maximumBytes(request: DhcpRequest, terms: Terms): number {
  const value = request.options.get(OPTION.maximumSize);
  const asked = value === undefined ? DEFAULT_MESSAGE_BYTES : ((value[0] ?? 0) << 8) | (value[1] ?? 0);
  const bounded = Math.min(Math.max(asked, DEFAULT_MESSAGE_BYTES), terms.largestMessageBytes);
  return bounded - IP_AND_UDP_HEADER_BYTES;
}
