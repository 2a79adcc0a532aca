import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crc32, inflateSync } from "node:zlib";
import { encodePng } from "./png.ts";

/** The chunks of a PNG by their type, checksums checked. */
function chunksOf(png: Buffer): Record<string, Buffer> {
  assert.equal(png.subarray(0, 8).toString("hex"), "89504e470d0a1a0a");
  const chunks: Record<string, Buffer> = {};
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    assert.equal(png.readUInt32BE(at + 8 + length), crc32(body));
    chunks[body.toString("latin1", 0, 4)] = body.subarray(4);
    at += 12 + length;
  }
  return chunks;
}

describe("a PNG", () => {
  it("has the picture's size, colours and pixels in it", async () => {
    const rgb = Buffer.from([255, 0, 0, 0, 255, 0, 250, 1, 2, 3, 4, 5]);
    const { IHDR, IDAT, IEND } = chunksOf(await encodePng({ width: 2, height: 2, rgb }));
    assert.equal(IHDR?.toString("hex"), "00000002000000020802000000");
    assert.equal(IEND?.length, 0);
    const rows = inflateSync(IDAT ?? Buffer.alloc(0));
    // Each row is told as the difference to the one above.
    assert.deepEqual([...rows], [2, 255, 0, 0, 0, 255, 0, 2, 251, 1, 2, 3, 5, 5]);
  });

  it("of an empty screen is small", async () => {
    const png = await encodePng({ width: 1024, height: 768, rgb: Buffer.alloc(1024 * 768 * 3) });
    assert.ok(png.length < 20_000, `${png.length} bytes`);
  });
});
