/** Datagrams that nobody thought of, against the whole server on sockets that go nowhere, for tests. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BAD_INPUTS } from "./bad-input.fixture.ts";
import { assertReply, judge } from "./judge.fixture.ts";
import { clientMessage, LEASE } from "./packet.fixture.ts";
import { startDhcpServer } from "./server.ts";
import type { Lease } from "./types.ts";
import { Wire } from "./wire.fixture.ts";

const OWN = [10, 244, 0, 7];
const SERVER = [169, 254, 75, 10];

/** Leases that differ in how much there is to say. */
const LEASES: readonly Lease[] = [
  LEASE,
  { ...LEASE, mtu: 1500, ntpServers: [], searchDomains: [], routes: [], dnsServers: [] },
  // Values that fill `file` and `sname` to the last byte, behind a narrow link.
  {
    ...LEASE,
    mtu: 800,
    privateOptions: [125, 125, 61, 60, 125, 126].map((length, n) => ({
      option: 224 + n,
      value: "p".repeat(length),
    })),
  },
  {
    ...LEASE,
    mtu: 9000,
    searchDomains: Array.from({ length: 32 }, (_, n) => `${"x".repeat(50)}.n${n}.example`),
    routes: Array.from({ length: 75 }, (_, n) => ({ destination: `10.${n}.0.0/16`, gateway: "10.244.0.1" })),
    bootFileName: "b".repeat(200),
    tftpServerName: "192.0.2.9",
    privateOptions: [224, 249, 254].map((option) => ({ option, value: "p".repeat(200) })),
  },
];

function mostly<T>(usual: T, unusual: fc.Arbitrary<T>, weight = 20): fc.Arbitrary<T> {
  return fc.oneof({ weight, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: unusual });
}

const byte = fc.nat({ max: 255 });
const anyAddress = fc.array(byte, { minLength: 4, maxLength: 4 });
const address = fc.oneof(fc.constant(OWN), fc.constant(SERVER), anyAddress);
const badAddress = fc.array(byte, { maxLength: 6 });

type Part = readonly [code: number, value: readonly number[]];

function part(code: number, value: fc.Arbitrary<readonly number[]>, likely: number): fc.Arbitrary<Part[]> {
  return fc.oneof(
    { weight: 10 - likely, arbitrary: fc.constant<Part[]>([]) },
    { weight: likely, arbitrary: value.map((bytes): Part[] => [[code, bytes]]) },
  );
}

const messageType = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom([1], [3], [3], [8], [4], [7]) },
  { weight: 1, arbitrary: fc.array(byte, { maxLength: 2 }) },
);
const noise = fc.tuple(fc.nat({ max: 254 }), fc.array(byte, { maxLength: 60 })) as fc.Arbitrary<Part>;

const everything = fc.shuffledSubarray([1, 3, 6, 12, 15, 26, 28, 42, 66, 67, 119, 121, 249, 224, 229], {
  minLength: 12,
});

/** The options of a client, in any order, some of them twice. */
const parts: fc.Arbitrary<readonly Part[]> = fc
  .tuple(
    part(53, messageType, 9),
    part(50, fc.oneof({ weight: 9, arbitrary: address }, { weight: 1, arbitrary: badAddress }), 5),
    part(54, fc.oneof({ weight: 9, arbitrary: address }, { weight: 1, arbitrary: badAddress }), 3),
    part(55, fc.oneof(everything, fc.array(byte, { maxLength: 80 })), 8),
    part(57, mostly<number[]>([5, 220], fc.array(byte, { maxLength: 3 }), 2), 5),
    part(61, fc.array(byte, { maxLength: 255 }), 5),
    part(82, fc.array(byte, { maxLength: 255 }), 2),
    part(52, mostly<number[]>([3], fc.array(byte, { maxLength: 2 }), 4), 2),
    fc.array(noise, { maxLength: 4 }),
  )
  .map((lists) => lists.flat())
  .chain((list) => fc.shuffledSubarray([...list], { minLength: list.length }));

const written = (list: readonly Part[]): number[] =>
  list.flatMap(([code, value]) => (code === 0 ? [0] : [code, value.length, ...value]));

const wholeMessage: fc.Arbitrary<Uint8Array> = fc
  .record({
    op: mostly(1, byte, 60),
    hardwareType: mostly(1, byte, 60),
    hardwareLength: mostly(6, byte, 60),
    transactionId: fc.nat({ max: 0xffffffff }),
    flags: fc.oneof(fc.constantFrom(0, 0x8000), fc.nat({ max: 0xffff })),
    clientAddress: mostly<readonly number[]>([0, 0, 0, 0], address, 2),
    relayAddress: mostly<readonly number[]>([0, 0, 0, 0], address, 8),
    macAddress: mostly(LEASE.macAddress, fc.constant("52:54:00:00:00:01")),
    cookie: mostly(0x63825363, fc.nat({ max: 0xffffffff }), 60),
    sname: fc.array(noise, { maxLength: 2 }).map((list) => [...written(list), 255].slice(0, 64)),
    file: fc.array(noise, { maxLength: 3 }).map((list) => [...written(list), 255].slice(0, 128)),
    options: fc
      .tuple(parts, mostly<readonly number[]>([255], fc.array(byte, { maxLength: 20 }), 4))
      .map(([list, end]) => [...written(list), ...end]),
  })
  .map(clientMessage);

/** Bytes set, cut off or put in. */
const damaged: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.oneof(wholeMessage, fc.constantFrom(...BAD_INPUTS.map(({ message }) => message))),
    fc.array(fc.tuple(fc.constantFrom("set", "cut", "put"), fc.nat({ max: 1600 }), byte), { maxLength: 6 }),
  )
  .map(([message, harms]) => {
    let bytes = [...message.subarray(0, 1600)];
    for (const [harm, at, value] of harms) {
      const place = bytes.length === 0 ? 0 : at % bytes.length;
      if (harm === "set") bytes[place] = value;
      else if (harm === "cut") bytes = bytes.slice(0, Math.max(place, value < 128 ? 240 : 0));
      else bytes.splice(place, 0, value);
    }
    return Uint8Array.from(bytes);
  });

const garbage = fc.uint8Array({ maxLength: 1600 });

const datagram = fc.oneof(
  { weight: 6, arbitrary: wholeMessage },
  { weight: 3, arbitrary: damaged },
  { weight: 1, arbitrary: garbage },
);

interface ServerProperty {
  readonly property: fc.IProperty<[number, Uint8Array, boolean]>;
  /** What has been counted so far. */
  counted(): ReadonlySet<string>;
}

/** Every datagram counts once, is answered when it deserves it, and with what it deserves. */
export async function serverProperty(): Promise<ServerProperty> {
  const servers = await Promise.all(
    LEASES.map(async (lease) => {
      const wire = new Wire();
      const server = await startDhcpServer({ leases: [lease], createSocket: wire.createSocket });
      return { lease, wire, server };
    }),
  );
  const which = fc.nat({ max: LEASES.length - 1 });
  const property = fc.property(which, datagram, fc.boolean(), (index, bytes, isUnicast) => {
    const { lease, wire, server } = servers[index] ?? assert.fail();
    const before = server.counters();
    wire.sent.length = 0;
    const copy = Uint8Array.from(bytes);
    wire.deliver(isUnicast ? 1 : 0, bytes);
    assert.ok(Buffer.from(bytes).equals(copy), "a datagram is only read");
    const { counter, answer } = judge(bytes, lease);
    const after: Record<string, number> = { ...server.counters() };
    const omitted = after["optionsOmitted"] ?? 0;
    assert.ok(omitted - (before["optionsOmitted"] ?? 0) <= (answer === undefined ? 0 : 1));
    const optionsOmitted = omitted > 0 ? { optionsOmitted: omitted } : {};
    assert.deepEqual(after, { ...before, [counter]: (before[counter] ?? 0) + 1, ...optionsOmitted });
    assert.equal(wire.sent.length, answer === undefined ? 0 : 1, counter);
    const [reply] = wire.sent;
    if (answer !== undefined && reply !== undefined) assertReply(bytes, lease, answer, reply);
  });
  return {
    property,
    counted: () => new Set(servers.flatMap(({ server }) => Object.keys(server.counters()))),
  };
}

/** Datagrams between two looks at the clock. */
const SLICE = 10_000;

/**
 * Shows datagrams to a server until `untilMs` (Unix time), one slice at least.
 * @param tell is told how many it have been, now and then
 * @returns how many
 * @throws Error with the first that was answered amiss, cut down to what matters, and the seed that finds it again
 */
export async function fuzzServer(untilMs: number, tell: (line: string) => void): Promise<number> {
  const { property } = await serverProperty();
  let datagrams = 0;
  do {
    const details = fc.check(property, { numRuns: SLICE });
    datagrams += details.numRuns;
    if (details.failed) throw new Error(fc.defaultReportMessage(details));
    tell(`${datagrams} datagrams`);
  } while (Date.now() < untilMs);
  return datagrams;
}
