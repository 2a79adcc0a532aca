import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { BAD_INPUT_KINDS, BAD_INPUTS } from "./bad-input.fixture.ts";
import { decodeRequest } from "./codec.ts";
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

  test("every kind of bad input is among them, but the one that the kernel sorts out", () => {
    const kinds = new Set(BAD_INPUTS.map(({ kind }) => kind).filter((kind) => kind !== 0));
    assert.deepEqual(
      [...kinds].toSorted((a, b) => a - b),
      Array.from({ length: BAD_INPUT_KINDS - 1 }, (_, index) => index + 1),
    );
  });

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
