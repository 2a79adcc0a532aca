import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { QCOW2_MAX_VIRTUAL_BYTES } from "../../lib/qcow2.ts";
import { HEADER_BYTES, imageFormat } from "./image.ts";
import { emptyQcow2 } from "./qcow2.ts";

const sizes = fc.integer({ min: 1, max: QCOW2_MAX_VIRTUAL_BYTES });

describe("an empty qcow2 image", () => {
  it("passes for a sound one of its size, and has its tables within it", () => {
    fc.assert(
      fc.property(sizes, (virtualSizeBytes) => {
        const { extents, size } = emptyQcow2({ virtualSizeBytes });
        const header = extents[0]?.bytes.subarray(0, HEADER_BYTES) ?? Buffer.alloc(0);
        assert.deepEqual(imageFormat("/i", header, size), {
          format: "qcow2",
          virtualSizeBytes: Math.ceil(virtualSizeBytes / 512) * 512,
        });
        for (const { offset, bytes } of extents) assert(offset + bytes.length <= size);
      }),
    );
  });

  it("names its backing file and that file's format, and nothing else does", () => {
    const backing = { path: "/image/disk.img", format: "raw" } as const;
    const [first] = emptyQcow2({ virtualSizeBytes: 1024, backing }).extents;
    assert(first !== undefined);
    const offset = Number(first.bytes.readBigUInt64BE(8));
    assert.equal(first.bytes.toString("latin1", offset, offset + first.bytes.readUInt32BE(16)), backing.path);
    assert.throws(() => imageFormat("/i", first.bytes, 1024), { code: "ImageBackingFile" });
  });

  it("is refused where the format can't hold it", () => {
    for (const virtualSizeBytes of [0, -1, Number.NaN, QCOW2_MAX_VIRTUAL_BYTES + 1]) {
      assert.throws(() => emptyQcow2({ virtualSizeBytes }), RangeError);
    }
    const backing = { path: `/${"x".repeat(1023)}`, format: "raw" } as const;
    assert.throws(() => emptyQcow2({ virtualSizeBytes: 512, backing }), RangeError);
  });
});
