import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readReply } from "./reply.fixture.ts";
import { type DhcpReply, encodeReply, type ReplyOption } from "./reply.ts";

const bare: DhcpReply = {
  transactionId: 0xffffffff,
  flags: 0x8000,
  clientAddress: "0.0.0.0",
  yourAddress: "10.244.0.7",
  relayAddress: "0.0.0.0",
  hardwareAddress: new Uint8Array(16),
  identity: [],
  parameters: [],
  echoed: [],
};

// 52 is the encoder's own.
const code = fc.integer({ min: 1, max: 254 }).filter((value) => ![52, 53, 61, 82].includes(value));
const anyParameters = fc.uniqueArray(fc.tuple(code, fc.uint8Array({ maxLength: 600 })), {
  selector: ([value]) => value,
  maxLength: 40,
});
const anyEchoed = fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }));

test("a reply holds every option whole or names it as left out, and keeps to the size", () => {
  fc.assert(
    fc.property(
      anyParameters,
      anyEchoed,
      fc.integer({ min: 240, max: 1472 }),
      (parameters, [id, relay], limit) => {
        const identity: readonly ReplyOption[] = [[53, Uint8Array.of(2)]];
        const echoed: readonly ReplyOption[] = [
          [61, id],
          [82, relay],
        ];
        const { bytes, omitted } = encodeReply({ ...bare, identity, parameters, echoed }, limit);
        assert.ok(
          bytes.length >= 300 && bytes.length <= Math.max(limit, 300),
          `${bytes.length} bytes of ${limit}`,
        );
        const { options, order } = readReply(bytes);
        assert.equal(order[0], 53);
        const all = [...identity, ...parameters, ...echoed];
        for (const [option, value] of all) {
          if (omitted.includes(option)) assert.ok(!options.has(option));
          else assert.deepEqual(options.get(option), [...value]);
        }
        const read = [...options.keys()].filter((option) => option !== 52);
        assert.equal(read.length + omitted.length, all.length);
      },
    ),
  );
});

test("what does not fit behind the cookie goes into file and sname, and only then", () => {
  const parameters = [100, 100, 100, 50].map((length, index) => [index + 1, new Uint8Array(length)] as const);
  const narrow = encodeReply({ ...bare, parameters }, 548);
  assert.deepEqual(narrow.omitted, []);
  assert.deepEqual(readReply(narrow.bytes).options.get(52), [1]);
  assert.ok(!readReply(encodeReply({ ...bare, parameters }, 1472).bytes).options.has(52));
});

test("the relay's option comes last", () => {
  const reply = {
    ...bare,
    parameters: [[12, Uint8Array.of(65)]],
    echoed: [[82, Uint8Array.of(1, 2, 3)]],
  } as const;
  const { bytes } = encodeReply(reply, 548);
  assert.deepEqual([...bytes.subarray(240, 249)], [12, 1, 65, 82, 3, 1, 2, 3, 255]);
});

const nextServer = { address: "192.0.2.9", serverName: "192.0.2.9", fileName: "boot.ipxe" };
const text = (field: Uint8Array): string => Buffer.from(field).toString("latin1").replace(/\0+$/, "");

test("the next server stands in siaddr, sname and file", () => {
  const { bytes } = encodeReply({ ...bare, nextServer }, 548);
  assert.deepEqual([...bytes.subarray(20, 24)], [192, 0, 2, 9]);
  assert.equal(text(bytes.subarray(44, 108)), "192.0.2.9");
  assert.equal(text(bytes.subarray(108, 236)), "boot.ipxe");
});

test("a name that its field has no room for, or that options have taken the place of, is left to its option", () => {
  const long = encodeReply({ ...bare, nextServer: { ...nextServer, fileName: "x".repeat(128) } }, 548);
  assert.equal(text(long.bytes.subarray(108, 236)), "");
  const fits = encodeReply({ ...bare, nextServer: { ...nextServer, fileName: "x".repeat(127) } }, 548);
  assert.equal(text(fits.bytes.subarray(108, 236)), "x".repeat(127));
  const parameters = [100, 100, 100, 50].map((length, index) => [index + 1, new Uint8Array(length)] as const);
  const overloaded = encodeReply({ ...bare, nextServer, parameters }, 548);
  assert.deepEqual(readReply(overloaded.bytes).options.get(52), [1]);
  assert.equal(text(overloaded.bytes.subarray(44, 108)), "192.0.2.9");
});
