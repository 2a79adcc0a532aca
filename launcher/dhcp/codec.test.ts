import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type DhcpReply, decodeRequest, encodeReply } from "./codec.ts";
import { type ClientMessage, clientMessage, DISCOVER_OPTIONS } from "./packet.fixture.ts";

function reason(bytes: Uint8Array): string {
  const decoded = decodeRequest(bytes);
  return decoded.ok ? "accepted" : decoded.reason;
}

/** The bad inputs that DHCP servers have broken on, and what becomes of each here. */
const TABLE: readonly (readonly [claim: string, message: ClientMessage | Uint8Array, expected: string])[] = [
  ["an empty datagram", new Uint8Array(), "tooShort"],
  ["less than a BOOTP header", new Uint8Array(235).fill(1), "tooShort"],
  ["a header without a cookie", clientMessage({}).subarray(0, 236), "tooShort"],
  ["no options at all", {}, "noMessageType"],
  ["a wrong cookie", { cookie: 0x11111111, options: DISCOVER_OPTIONS }, "badCookie"],
  ["a reply", { op: 2, options: DISCOVER_OPTIONS }, "notARequest"],
  ["an address of no length", { hardwareLength: 0, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an address of 17 bytes", { hardwareLength: 17, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an address of 255 bytes", { hardwareLength: 255, options: DISCOVER_OPTIONS }, "badHardwareLength"],
  ["an IEEE 802 address", { hardwareType: 6, options: DISCOVER_OPTIONS }, "badHardwareType"],
  ["an InfiniBand address", { hardwareType: 32, options: DISCOVER_OPTIONS }, "badHardwareType"],
  ["an option code as the last byte", { options: [53, 1, 1, 12] }, "truncatedOption"],
  ["a length past the end", { options: [53, 1, 1, 61, 200, 1, 2] }, "truncatedOption"],
  ["a message type of no length", { options: [53, 0, 255] }, "badMessageType"],
  ["a message type of four bytes", { options: [53, 4, 1, 1, 1, 1, 255] }, "badMessageType"],
  ["no message type", { options: [12, 1, 65, 255] }, "noMessageType"],
  ["message type 0", { options: [53, 1, 0, 255] }, "badMessageType"],
  ["message type 9", { options: [53, 1, 9, 255] }, "badMessageType"],
  ["message type 255", { options: [53, 1, 255, 255] }, "badMessageType"],
  ["two message types, which are joined", { options: [53, 1, 1, 53, 1, 3, 255] }, "badMessageType"],
  ["a client identifier of no length", { options: [53, 1, 1, 61, 0, 255] }, "badOptionLength"],
  [
    "a client identifier of 255 bytes",
    { options: [53, 1, 1, 61, 255, ...new Array(255).fill(0), 255] },
    "accepted",
  ],
  ["a client identifier with NULs", { options: [53, 1, 1, 61, 3, 0, 0, 7, 255] }, "accepted"],
  ["a requested address of no length", { options: [53, 1, 3, 50, 0, 255] }, "badOptionLength"],
  ["a requested address of 3 bytes", { options: [53, 1, 3, 50, 3, 1, 2, 3, 255] }, "badOptionLength"],
  ["a requested address of 5 bytes", { options: [53, 1, 3, 50, 5, 1, 2, 3, 4, 5, 255] }, "badOptionLength"],
  ["a server identifier of 3 bytes", { options: [53, 1, 3, 54, 3, 1, 2, 3, 255] }, "badOptionLength"],
  [
    "DNS servers of 5 bytes, which nobody reads",
    { options: [53, 1, 1, 6, 5, 1, 2, 3, 4, 5, 255] },
    "accepted",
  ],
  ["maximum size 0", { options: [53, 1, 1, 57, 2, 0, 0, 255] }, "accepted"],
  ["maximum size of one byte", { options: [53, 1, 1, 57, 1, 0, 255] }, "badOptionLength"],
  [
    "overload 1 and garbage in file",
    { file: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "truncatedOption",
  ],
  [
    "overload 2 and garbage in sname",
    { sname: [61, 200], options: [53, 1, 1, 52, 1, 2, 255] },
    "truncatedOption",
  ],
  ["overload 3 and only pads", { options: [53, 1, 1, 52, 1, 3, 255] }, "accepted"],
  ["overload 4", { options: [53, 1, 1, 52, 1, 4, 255] }, "badOverload"],
  ["overload of no length", { options: [53, 1, 1, 52, 0, 255] }, "badOverload"],
  ["overload twice", { options: [53, 1, 1, 52, 1, 1, 52, 1, 2, 255] }, "badOverload"],
  [
    "overload inside the overloaded field",
    { file: [52, 1, 2, 255], sname: [61, 200], options: [53, 1, 1, 52, 1, 1, 255] },
    "accepted",
  ],
  ["the message type in file only", { file: [53, 1, 1, 255], options: [52, 1, 1, 255] }, "accepted"],
  [
    "an option 255 times",
    { options: [...new Array(255).fill([12, 1, 65]).flat(), 53, 1, 1, 255] },
    "accepted",
  ],
  ["no END", { options: [53, 1, 1] }, "accepted"],
  ["garbage after END", { options: [...DISCOVER_OPTIONS, 61, 200, 1] }, "accepted"],
  ["only pads to 1500 bytes", { options: new Array(1260).fill(0) }, "noMessageType"],
  ["one pad before the type", { options: [0, 53, 1, 1, 255] }, "accepted"],
  ["a host name of control characters", { options: [53, 1, 1, 12, 4, 0, 10, 255, 254, 255] }, "accepted"],
  ["a looping name in option 81", { options: [53, 1, 1, 81, 5, 4, 0, 0, 0xc0, 3, 255] }, "accepted"],
  ["bad sub-lengths in option 82", { options: [53, 1, 1, 82, 3, 1, 200, 9, 255] }, "accepted"],
  [
    "a request list of what is no parameter",
    { options: [53, 1, 1, 55, 9, 50, 52, 55, 56, 60, 61, 80, 116, 145, 255] },
    "accepted",
  ],
  ["more than a frame", { options: [...DISCOVER_OPTIONS, ...new Array(1257).fill(0)] }, "tooLong"],
  ["64 KiB", new Uint8Array(65_507), "tooLong"],
];

describe("what a client may send", () => {
  for (const [claim, message, expected] of TABLE) {
    test(`${claim}: ${expected}`, () => {
      assert.equal(reason(message instanceof Uint8Array ? message : clientMessage(message)), expected);
    });
  }

  test("no bytes make it throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1600 }), (bytes) => void decodeRequest(bytes)),
      { numRuns: 500 },
    );
  });

  test("no options behind a good header make it throw", () => {
    const options = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 1260 });
    fc.assert(
      fc.property(
        options,
        (bytes) => void decodeRequest(clientMessage({ options: bytes, file: bytes.slice(0, 128) })),
      ),
      { numRuns: 2000 },
    );
  });

  test("an option in parts is joined across fields, options first, then file, then sname (RFC 3396)", () => {
    const decoded = decodeRequest(
      clientMessage({
        options: [53, 1, 1, 61, 2, 1, 2, 52, 1, 3, 255],
        file: [61, 1, 3, 255],
        sname: [61, 1, 4, 255],
      }),
    );
    assert.ok(decoded.ok);
    assert.deepEqual([...(decoded.request.options.get(61) ?? [])], [1, 2, 3, 4]);
  });
});

/** An independent reader of replies: plain, and as RFC 3396 section 5 orders the fields. */
function readReply(bytes: Uint8Array): Map<number, number[]> {
  const options = new Map<number, number[]>();
  const walk = (field: Uint8Array): void => {
    for (let at = 0; at < field.length; ) {
      const code = field[at] ?? 255;
      if (code === 255) return;
      if (code === 0) {
        at += 1;
        continue;
      }
      const length = field[at + 1] ?? 0;
      assert.ok(at + 2 + length <= field.length, `option ${code} is cut short`);
      options.set(code, [...(options.get(code) ?? []), ...field.subarray(at + 2, at + 2 + length)]);
      at += 2 + length;
    }
    assert.fail("a field has no END");
  };
  walk(bytes.subarray(240));
  const overload = options.get(52)?.[0] ?? 0;
  if (overload & 1) walk(bytes.subarray(108, 236));
  if (overload & 2) walk(bytes.subarray(44, 108));
  return options;
}

describe("what is sent", () => {
  const base = {
    transactionId: 0xffffffff,
    flags: 0x8000,
    clientAddress: "0.0.0.0",
    yourAddress: "10.244.0.7",
    macAddress: "52:54:00:12:34:56",
  };
  // 52 is the encoder's own.
  const code = fc.integer({ min: 1, max: 254 }).filter((value) => value !== 52);
  const anyOptions = fc.uniqueArray(fc.tuple(code, fc.uint8Array({ maxLength: 600 })), {
    selector: ([value]) => value,
    maxLength: 40,
  });

  test("a reply holds every option whole or names it as left out, and keeps to the size", () => {
    fc.assert(
      fc.property(anyOptions, fc.integer({ min: 240, max: 1472 }), (options, limit) => {
        const reply: DhcpReply = { ...base, options };
        const { bytes, omitted } = encodeReply(reply, limit);
        assert.ok(
          bytes.length >= 300 && bytes.length <= Math.max(limit, 300),
          `${bytes.length} bytes of ${limit}`,
        );
        const read = readReply(bytes);
        for (const [option, value] of options) {
          if (omitted.includes(option)) assert.ok(!read.has(option));
          else assert.deepEqual(read.get(option), [...value]);
        }
        assert.equal(
          [...read.keys()].filter((option) => option !== 52).length + omitted.length,
          options.length,
        );
      }),
    );
  });

  test("what does not fit behind the cookie goes into file and sname, and only then", () => {
    const options = [100, 100, 100, 50].map((length, index) => [index + 1, new Uint8Array(length)] as const);
    const narrow = encodeReply({ ...base, options }, 548);
    assert.deepEqual(narrow.omitted, []);
    assert.deepEqual(readReply(narrow.bytes).get(52), [1]);
    assert.ok(!readReply(encodeReply({ ...base, options }, 1472).bytes).has(52));
  });

  test("the relay's option comes last", () => {
    const options = [
      [82, Uint8Array.of(1, 2, 3)],
      [12, Uint8Array.of(65)],
    ] as const;
    const { bytes } = encodeReply({ ...base, options }, 548);
    assert.deepEqual([...bytes.subarray(240, 249)], [12, 1, 65, 82, 3, 1, 2, 3, 255]);
  });
});
