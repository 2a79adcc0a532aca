import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { extractVmlinux } from "./vmlinux.ts";

/** A bzImage as far as its header goes: two setup sectors, then code, then the payload. */
function bzImage(payload: Buffer, payloadOffset = 64): Buffer {
  const setup = Buffer.alloc(3 * 512);
  setup[0x1f1] = 2;
  setup.write("HdrS", 0x202, "latin1");
  setup.writeUInt32LE(payloadOffset, 0x248);
  setup.writeUInt32LE(payload.length + 4, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(payloadOffset), payload, Buffer.alloc(4 + 100)]);
}

const elf = Buffer.concat([Buffer.from("\x7fELF", "latin1"), Buffer.alloc(5000, "kernel")]);

describe("the kernel in a bzImage", () => {
  it("comes out byte by byte, wherever its payload lies", () => {
    for (const offset of [0, 64, 1000]) {
      assert(extractVmlinux(bzImage(zstdCompressSync(elf), offset)).equals(elf));
    }
  });

  for (const [claim, image, reason] of [
    ["without a setup header", Buffer.alloc(4096), /no bzImage/],
    ["that is empty", Buffer.alloc(0), /no bzImage/],
    ["compressed otherwise", bzImage(Buffer.from("gzip payload")), /not compressed by zstd/],
    ["cut short", bzImage(zstdCompressSync(elf)).subarray(0, 1600), /not compressed by zstd/],
    ["that holds something else", bzImage(zstdCompressSync(Buffer.from("no kernel"))), /no ELF file/],
  ] as const) {
    it(`is refused in an image ${claim}`, () => {
      assert.throws(() => extractVmlinux(image), reason);
    });
  }
});
