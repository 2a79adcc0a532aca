/**
 * What each datagram deserves, for tests: a second reading of RFC 2131 that shares nothing with the server but the
 * lease's values, and that checks the reply it is shown byte by byte.
 */
import assert from "node:assert/strict";
import { leaseOptions } from "./options.ts";
import { readReply } from "./reply.fixture.ts";
import type { Lease } from "./types.ts";

export interface Verdict {
  /** The counter that the datagram counts for. */
  readonly counter: string;
  readonly answer?: Expected;
}

interface Expected {
  readonly kind: "offer" | "ack" | "nak";
  /** Address and port. */
  readonly destination: string;
  /** Largest UDP payload. */
  readonly limit: number;
  readonly hasLease: boolean;
  readonly ciaddr: string;
  readonly yiaddr: string;
  readonly asked: readonly number[] | undefined;
  readonly identifier: readonly number[] | undefined;
  readonly relayOption: readonly number[] | undefined;
}

const LENGTHS: Readonly<Record<number, readonly [least: number, most: number]>> = {
  50: [4, 4],
  54: [4, 4],
  57: [2, 2],
  61: [2, 255],
};
const NONE = "0.0.0.0";
const ALL = "255.255.255.255";

export function judge(datagram: Uint8Array, lease: Lease): Verdict {
  const bytes = Buffer.from(datagram);
  const counted = (counter: string): Verdict => ({ counter });
  if (bytes.length < 240) return counted("tooShort");
  if (bytes.length > 1500) return counted("tooLong");
  if (bytes[0] !== 1) return counted("notARequest");
  if (bytes[1] !== 1) return counted("badHardwareType");
  if (bytes[2] !== 6) return counted("badHardwareLength");
  if (bytes.toString("hex", 236, 240) !== "63825363") return counted("badCookie");
  const options = joined(bytes);
  if (typeof options === "string") return counted(options);
  for (const [code, [least, most]] of Object.entries(LENGTHS)) {
    const length = options.get(Number(code))?.length ?? least;
    if (length < least || length > most) return counted("badOptionLength");
  }
  const type = options.get(53);
  if (type === undefined) return counted("noMessageType");
  if (type.length !== 1 || !(Number(type[0]) >= 1 && Number(type[0]) <= 8)) return counted("badMessageType");
  return answered(bytes, options, Number(type[0]), lease);
}

function answered(bytes: Buffer, options: Map<number, number[]>, type: number, lease: Lease): Verdict {
  const at = (offset: number): string => [...bytes.subarray(offset, offset + 4)].join(".");
  const [ciaddr, giaddr] = [at(12), at(24)];
  if (bytes.toString("hex", 28, 34) !== lease.macAddress.replaceAll(":", "")) {
    return { counter: "foreignClient" };
  }
  if (giaddr !== NONE && giaddr !== lease.address) return { counter: "relayed" };
  const server = options.get(54)?.join(".");
  const isForeign = server !== undefined && server !== lease.serverAddress;
  const size = Buffer.from(options.get(57) ?? [2, 64]).readUInt16BE();
  const limit = Math.min(Math.max(size, 576), Math.max(lease.mtu, 576), 1500) - 28;
  const to = (address: string): string => (giaddr === NONE ? `${address}:68` : `${giaddr}:67`);
  const usual = (bytes.readUInt16BE(10) & 0x8000) !== 0 && ciaddr !== lease.address ? ALL : lease.address;
  const reply = (kind: Expected["kind"], more: Partial<Expected> = {}): Verdict => ({
    counter: kind,
    answer: {
      kind,
      destination: to(kind === "nak" ? ALL : usual),
      limit,
      hasLease: kind !== "nak",
      ciaddr: kind === "ack" && ciaddr === lease.address ? ciaddr : NONE,
      yiaddr: kind === "nak" ? NONE : lease.address,
      asked: options.get(55),
      identifier: options.get(61),
      relayOption: options.get(82),
      ...more,
    },
  });
  switch (type) {
    case 1:
      return reply("offer");
    case 3: {
      if (isForeign) return { counter: "otherServer" };
      const wish = options.get(50)?.join(".");
      const held = ciaddr === NONE ? undefined : ciaddr;
      const address = server === undefined ? (held ?? wish) : (wish ?? held);
      if (address === undefined) return { counter: "requestWithoutAddress" };
      return reply(address === lease.address ? "ack" : "nak");
    }
    case 8:
      if (ciaddr !== lease.address) return { counter: "foreignAddress" };
      return reply("ack", { destination: to(lease.address), hasLease: false, yiaddr: NONE });
    case 4:
      return { counter: isForeign ? "otherServer" : "declined" };
    case 7:
      return { counter: isForeign ? "otherServer" : "released" };
    default:
      return { counter: "serverMessage" };
  }
}

/** Options joined over all fields, or the reason why they can't be read. */
function joined(bytes: Buffer): Map<number, number[]> | "truncatedOption" | "badOverload" {
  const found: [number, number[]][] = [];
  if (!listed(bytes.subarray(240), found)) return "truncatedOption";
  const overloads = found.filter(([code]) => code === 52);
  if (overloads.length > 0) {
    const values = overloads.flatMap(([, part]) => part);
    const [value = 0] = values;
    const isValid = values.length === 1 && value >= 1 && value <= 3;
    if (!isValid) return "badOverload";
    if (value !== 2 && !listed(bytes.subarray(108, 236), found)) return "truncatedOption";
    if (value !== 1 && !listed(bytes.subarray(44, 108), found)) return "truncatedOption";
  }
  const all = new Map<number, number[]>();
  for (const [code, value] of found) all.set(code, [...(all.get(code) ?? []), ...value]);
  return all;
}

function listed(field: Buffer, found: [number, number[]][]): boolean {
  let rest = [...field];
  while (rest.length > 0) {
    const [code = 0, length = 256] = rest;
    if (code === 255) return true;
    if (code === 0) {
      rest = rest.slice(1);
      continue;
    }
    if (rest.length < 2 + length) return false;
    found.push([code, rest.slice(2, 2 + length)]);
    rest = rest.slice(2 + length);
  }
  return true;
}

const KINDS = { offer: 2, ack: 5, nak: 6 } as const;
/** Codes that a reply has for its own sake. */
const OWN_CODES = [53, 54, 51, 58, 59, 52, 61, 82];

/** @throws AssertionError when the reply is not what its request deserves */
export function assertReply(
  request: Uint8Array,
  lease: Lease,
  expected: Expected,
  reply: { readonly bytes: Uint8Array; readonly destination: string },
): void {
  const { bytes } = reply;
  assert.equal(reply.destination, expected.destination);
  assert.ok(
    bytes.length <= Math.max(expected.limit, 300),
    `${bytes.length} bytes, ${expected.limit} allowed`,
  );
  const { options, order, length } = readReply(bytes);
  const at = (offset: number): string => [...bytes.subarray(offset, offset + 4)].join(".");
  assert.deepEqual(bytes.subarray(4, 8), Uint8Array.from(request.subarray(4, 8)), "the transaction");
  assert.deepEqual(bytes.subarray(28, 44), Uint8Array.from(request.subarray(28, 44)), "the client");
  const isRelayed = at(24) !== NONE;
  const flags = Buffer.from(request.subarray(10, 12)).readUInt16BE();
  const broadcast = expected.kind === "nak" && isRelayed ? 0x8000 : 0;
  assert.equal(Buffer.from(bytes).readUInt16BE(10), flags | broadcast, "the flags");
  assert.equal(at(24), [...request.subarray(24, 28)].join("."), "the relay");
  assert.deepEqual([at(12), at(16)], [expected.ciaddr, expected.yiaddr], "ciaddr and yiaddr");
  assert.deepEqual(order.slice(0, 2), [53, 54]);
  assert.deepEqual(options.get(53), [KINDS[expected.kind]]);
  assert.equal(options.get(54)?.join("."), lease.serverAddress);
  const times = [51, 58, 59].map((code) => options.get(code));
  if (expected.hasLease) {
    const [whole = 0, renewal = 0, rebinding = 0] = times.map((value) =>
      Buffer.from(value ?? []).readUInt32BE(),
    );
    assert.ok(renewal < rebinding && rebinding < whole && whole === lease.leaseSeconds);
  } else assert.deepEqual(times, [undefined, undefined, undefined]);
  for (const [code, value] of [
    [61, expected.identifier],
    [82, expected.relayOption],
  ] as const) {
    if (options.has(code)) assert.deepEqual(options.get(code), value, `option ${code}`);
  }
  if (expected.identifier !== undefined) assert.ok(options.has(61), "the client identifier always fits");
  if (options.has(82)) assert.equal(order.at(-1), 82);
  if (expected.kind !== "nak") assertValues(options, expected.asked, lease, expected.limit - length);
  assertParameters(
    order.filter((code) => !OWN_CODES.includes(code)),
    expected,
    lease,
  );
}

/** Options are as the lease has them; one that is asked for is missing only where it has no room. */
function assertValues(
  options: ReadonlyMap<number, readonly number[]>,
  asked: readonly number[] | undefined,
  lease: Lease,
  room: number,
): void {
  const served = leaseOptions(lease);
  for (const [code, value] of options) {
    if (!OWN_CODES.includes(code)) assert.deepEqual(value, [...(served.get(code) ?? [])], `option ${code}`);
  }
  for (const [code, { length }] of served) {
    if (options.has(code) || (asked === undefined ? code === 249 : !asked.includes(code))) continue;
    // The overload option takes three bytes, also when nothing went elsewhere after all.
    assert.ok(length + 2 * Math.ceil(length / 255) > room - 3, `option ${code} is missing`);
  }
}

function assertParameters(codes: readonly number[], expected: Expected, lease: Lease): void {
  if (expected.kind === "nak") {
    assert.deepEqual(codes, [56]);
    return;
  }
  const unasked = [42, 66, 67, ...(lease.privateOptions ?? []).map(({ option }) => option)];
  const asked = expected.asked;
  if (asked === undefined) return;
  for (const code of codes) assert.ok(asked.includes(code) || unasked.includes(code), `${code} unasked`);
  const places = [...new Set(codes)].filter((code) => asked.includes(code) && code !== 1);
  const wanted = places.toSorted((a, b) => asked.indexOf(a) - asked.indexOf(b));
  assert.deepEqual(places, wanted, "the client's order");
  if (codes.includes(1) && codes.includes(3)) assert.ok(codes.indexOf(1) < codes.indexOf(3));
}
