/** DHCPv6 messages between client and server (RFC 8415 sections 8 and 21), of what one guest needs. Pure. */

export const MESSAGE = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
} as const;

export const STATUS = { success: 0, noAddrsAvail: 2, notOnLink: 4 } as const;

const OPTION = {
  clientId: 1,
  serverId: 2,
  iaNa: 3,
  iaAddress: 5,
  requested: 6,
  preference: 7,
  status: 13,
  rapidCommit: 14,
  dnsServers: 23,
} as const;

const HEADER_BYTES = 4;
const OPTION_HEADER_BYTES = 4;
const ADDRESS_BYTES = 16;
/** Of an IA_NA before its options: IAID, T1, T2. */
const IA_BYTES = 12;
/** Of an IA address before its options: address, preferred and valid lifetime. */
const IA_ADDRESS_BYTES = 24;
/** RFC 8415 section 11.1. */
const MAX_DUID_BYTES = 130;
/** A host has one for each of its interfaces' kinds; answers stay far below a datagram's size. */
const MAX_ASSOCIATIONS = 8;
const MAX_ADDRESSES = 8;

/** An IA_NA: what the client calls one of its addresses, and those that it believes to have. */
export interface Association {
  readonly id: number;
  readonly addresses: readonly Buffer[];
}

export interface Request {
  readonly type: number;
  /** Three octets. */
  readonly transaction: Buffer;
  readonly clientId: Buffer | undefined;
  readonly serverId: Buffer | undefined;
  readonly associations: readonly Association[];
  /** Codes of its option request option. */
  readonly requested: readonly number[];
  readonly rapidCommit: boolean;
}

/** Undefined for what is cut short, contradicts itself, or has more in it than a host's message. */
export function decodeRequest(bytes: Buffer): Request | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const options = decodeOptions(bytes.subarray(HEADER_BYTES));
  if (options === undefined) return undefined;
  const only = (code: number): Buffer | undefined => options.find((one) => one.code === code)?.value;
  const clientId = only(OPTION.clientId);
  const serverId = only(OPTION.serverId);
  const isTooLong = (duid: Buffer | undefined) => (duid?.length ?? 0) > MAX_DUID_BYTES;
  if (isTooLong(clientId) || isTooLong(serverId)) return undefined;
  const associations = options
    .filter(({ code }) => code === OPTION.iaNa)
    .map(({ value }) => decodeAssociation(value));
  if (associations.length > MAX_ASSOCIATIONS) return undefined;
  const complete = associations.filter((one) => one !== undefined);
  if (complete.length < associations.length) return undefined;
  const requested = only(OPTION.requested) ?? Buffer.alloc(0);
  return {
    type: bytes.readUInt8(0),
    transaction: Buffer.from(bytes.subarray(1, HEADER_BYTES)),
    clientId,
    serverId,
    associations: complete,
    requested: Array.from({ length: requested.length >> 1 }, (_, i) => requested.readUInt16BE(2 * i)),
    rapidCommit: only(OPTION.rapidCommit) !== undefined,
  };
}

interface Option {
  readonly code: number;
  readonly value: Buffer;
}

function decodeOptions(bytes: Buffer): readonly Option[] | undefined {
  const options: Option[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + OPTION_HEADER_BYTES > bytes.length) return undefined;
    const end = at + OPTION_HEADER_BYTES + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) return undefined;
    options.push({ code: bytes.readUInt16BE(at), value: bytes.subarray(at + OPTION_HEADER_BYTES, end) });
    at = end;
  }
  return options;
}

function decodeAssociation(value: Buffer): Association | undefined {
  if (value.length < IA_BYTES) return undefined;
  const options = decodeOptions(value.subarray(IA_BYTES));
  const addresses = options?.filter(({ code }) => code === OPTION.iaAddress);
  if (addresses === undefined || addresses.length > MAX_ADDRESSES) return undefined;
  if (addresses.some((one) => one.value.length < IA_ADDRESS_BYTES)) return undefined;
  return {
    id: value.readUInt32BE(0),
    addresses: addresses.map((one) => one.value.subarray(0, ADDRESS_BYTES)),
  };
}

export interface Lifetimes {
  readonly renewalSeconds: number;
  readonly rebindingSeconds: number;
  readonly validSeconds: number;
}

/** What the client is told of one of its associations. */
export interface Grant {
  readonly id: number;
  /** Undefined: there is none for it. */
  readonly address: Buffer | undefined;
  /** Addresses that it must not use any longer. */
  readonly withdrawn: readonly Buffer[];
}

export interface Reply {
  readonly type: typeof MESSAGE.advertise | typeof MESSAGE.reply;
  readonly transaction: Buffer;
  readonly clientId: Buffer | undefined;
  readonly serverId: Buffer;
  readonly grants: readonly Grant[];
  readonly lifetimes: Lifetimes;
  /** Of the whole message. */
  readonly status?: number;
  readonly rapidCommit: boolean;
  readonly dnsServers: readonly Buffer[];
}

export function encodeReply(reply: Reply): Buffer {
  const { type, transaction, clientId, serverId, grants, lifetimes, status, rapidCommit, dnsServers } = reply;
  return Buffer.concat([
    Buffer.of(type),
    transaction,
    ...(clientId === undefined ? [] : [option(OPTION.clientId, clientId)]),
    option(OPTION.serverId, serverId),
    // Nobody else serves on this link, so the client need not wait for more offers (section 18.2.1).
    ...(type === MESSAGE.advertise ? [option(OPTION.preference, Buffer.of(255))] : []),
    ...(rapidCommit ? [option(OPTION.rapidCommit, Buffer.alloc(0))] : []),
    ...grants.map((grant) => association(grant, lifetimes)),
    ...(status === undefined ? [] : [statusCode(status)]),
    ...(dnsServers.length === 0 ? [] : [option(OPTION.dnsServers, Buffer.concat(dnsServers))]),
  ]);
}

/** Whether the client asks for name servers. */
export function asksForDns({ requested }: Request): boolean {
  return requested.includes(OPTION.dnsServers);
}

function association({ id, address, withdrawn }: Grant, lifetimes: Lifetimes): Buffer {
  const { renewalSeconds, rebindingSeconds, validSeconds } = lifetimes;
  const given = address === undefined ? [] : [iaAddress(address, validSeconds)];
  const none = address === undefined ? [statusCode(STATUS.noAddrsAvail)] : [];
  const head = Buffer.alloc(IA_BYTES);
  head.writeUInt32BE(id, 0);
  head.writeUInt32BE(renewalSeconds, 4);
  head.writeUInt32BE(rebindingSeconds, 8);
  const taken = withdrawn.map((one) => iaAddress(one, 0));
  return option(OPTION.iaNa, Buffer.concat([head, ...given, ...taken, ...none]));
}

function iaAddress(address: Buffer, seconds: number): Buffer {
  const lifetimes = Buffer.alloc(IA_ADDRESS_BYTES - ADDRESS_BYTES);
  lifetimes.writeUInt32BE(seconds, 0);
  lifetimes.writeUInt32BE(seconds, 4);
  return option(OPTION.iaAddress, Buffer.concat([address, lifetimes]));
}

function statusCode(code: number): Buffer {
  return option(OPTION.status, Buffer.of(code >> 8, code & 0xff));
}

function option(code: number, value: Buffer): Buffer {
  const header = Buffer.alloc(OPTION_HEADER_BYTES);
  header.writeUInt16BE(code, 0);
  header.writeUInt16BE(value.length, 2);
  return Buffer.concat([header, value]);
}
