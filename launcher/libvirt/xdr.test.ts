import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MAX_STRING_BYTES, XdrError, XdrReader, XdrWriter } from "./xdr.ts";

function isXdrError(code: XdrError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof XdrError && error.code === code;
}

describe("XDR", () => {
  it("pads a string to four bytes, after its length in bytes", () => {
    const bytes = new XdrWriter().string("né").int(-2).bytes();
    assert.equal(bytes.toString("hex"), "000000036ec3a900fffffffe");
  });

  it("marks an optional value", () => {
    const bytes = new XdrWriter().optionalString(undefined).optionalString("a").bytes();
    assert.equal(bytes.toString("hex"), "00000000000000010000000161000000");
  });

  it("reads back what it wrote, to the last byte", () => {
    const text = fc.string({ unit: "grapheme" }).filter((value) => !value.includes("\0"));
    fc.assert(
      fc.property(
        fc.integer(),
        fc.nat(),
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        fc.array(text),
        fc.option(text, { nil: undefined }),
        (int, uint, uhyper, strings, optional) => {
          const writer = new XdrWriter().int(int).uint(uint).uhyper(uhyper);
          writer.array(strings, (item, value) => item.string(value)).optionalString(optional);
          assert.equal(writer.bytes().length % 4, 0);
          const reader = new XdrReader(writer.bytes());
          assert.deepEqual(
            [reader.int(), reader.uint(), reader.uhyper(), reader.array(100, (item) => item.string())],
            [int, uint, uhyper, strings],
          );
          assert.equal(reader.optionalString(), optional);
          reader.end();
        },
      ),
    );
  });

  it("never reads beyond the bytes there are, whatever they say", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new XdrReader(Buffer.from(bytes));
        try {
          for (;;) reader.array(16, (item) => item.optionalString());
        } catch (error) {
          assert.ok(error instanceof XdrError);
        }
      }),
    );
  });

  it("refuses what is cut short, left over, too long or no marker", () => {
    const four = Buffer.from([0, 0, 0, 5]);
    assert.throws(() => new XdrReader(four).string(), isXdrError("XDR_TRUNCATED"));
    assert.throws(() => new XdrReader(four).end(), isXdrError("XDR_TRAILING"));
    assert.throws(() => new XdrReader(four).optionalString(), isXdrError("XDR_VALUE"));
    assert.throws(() => new XdrReader(four).array(4, () => undefined), isXdrError("XDR_LIMIT"));
    const long = new XdrWriter().uint(MAX_STRING_BYTES + 1).bytes();
    assert.throws(() => new XdrReader(long).string(), isXdrError("XDR_LIMIT"));
    assert.throws(() => new XdrWriter().string("a\0b"), isXdrError("XDR_VALUE"));
    assert.throws(() => new XdrWriter().int(2 ** 31), isXdrError("XDR_VALUE"));
    const bytes = Buffer.alloc(MAX_STRING_BYTES + 1);
    assert.throws(() => new XdrWriter().opaque(bytes), isXdrError("XDR_LIMIT"));
  });
});
