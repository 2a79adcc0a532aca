import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { BAD_INPUTS } from "./bad-input.fixture.ts";
import { type DhcpReply, decodeRequest, encodeReply } from "./codec.ts";
import { clientMessage } from "./packet.fixture.ts";

function reason(bytes: Uint8Array): string {
  const decoded = decodeRequest(bytes);
  return decoded.ok ? "accepted" : decoded.reason;
}

describe("what a client may send", () => {
  for (const { claim, message, expected } of BAD_INPUTS) {
    test(`${claim}: ${expected}`, () => {
      assert.equal(reason(message), expected);
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
