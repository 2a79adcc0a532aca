import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LauncherError } from "../errors.ts";
import { HEADER_BYTES, imageFormat } from "./image.ts";

/** A qcow2 version 3 header with the fields given. */
function qcow2(
  fields: { version?: number; backing?: bigint; size?: bigint; crypt?: number; features?: bigint } = {},
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("QFI\xfb", 0, "latin1");
  header.writeUInt32BE(fields.version ?? 3, 4);
  header.writeBigUInt64BE(fields.backing ?? 0n, 8);
  header.writeBigUInt64BE(fields.size ?? 1024n ** 3n, 24);
  header.writeUInt32BE(fields.crypt ?? 0, 32);
  header.writeBigUInt64BE(fields.features ?? 0n, 72);
  return header;
}

describe("a disk image's format", () => {
  it("is qcow2 by its magic, with the size that the header tells", () => {
    for (const version of [2, 3]) {
      assert.deepEqual(imageFormat("/i", qcow2({ version }), 4096), {
        format: "qcow2",
        virtualSizeBytes: 1024 ** 3,
      });
    }
  });

  it("is raw without a magic, in whole sectors", () => {
    assert.deepEqual(imageFormat("/i", Buffer.alloc(HEADER_BYTES), 513), {
      format: "raw",
      virtualSizeBytes: 1024,
    });
    assert.deepEqual(imageFormat("/i", Buffer.from("x"), 1), { format: "raw", virtualSizeBytes: 512 });
  });

  const refusals: readonly (readonly [claim: string, header: Buffer, code: string])[] = [
    ["a backing file", qcow2({ backing: 0x200n }), "ImageBackingFile"],
    ["a backing file in version 2", qcow2({ version: 2, backing: 1n }), "ImageBackingFile"],
    ["an external data file", qcow2({ features: 4n }), "ImageDataFile"],
    ["encryption", qcow2({ crypt: 2 }), "ImageEncrypted"],
    ["an unknown qcow2 version", qcow2({ version: 4 }), "ImageFormat"],
    ["a qcow2 header cut short", qcow2().subarray(0, 60), "ImageFormat"],
    ["no size", qcow2({ size: 0n }), "ImageFormat"],
    ["an absurd size", qcow2({ size: 2n ** 63n }), "ImageFormat"],
    ["VMDK content", Buffer.from("KDMV\x01\0\0\0"), "ImageFormat"],
    ["VHDX content", Buffer.from("vhdxfile"), "ImageFormat"],
    [
      "a VMDK descriptor, which names other files",
      Buffer.from("# Disk DescriptorFile\nversion=1"),
      "ImageFormat",
    ],
  ];
  for (const [claim, header, code] of refusals) {
    it(`is refused for ${claim}`, () => {
      assert.throws(() => imageFormat("/i", header, 65_536), { name: "LauncherError", code });
    });
  }

  it("is refused for an empty file", () => {
    assert.throws(() => imageFormat("/i", Buffer.alloc(0), 0), { code: "ImageFormat" });
  });

  it("is told or refused with a LauncherError for any bytes whatever", () => {
    const anyHeader = fc.oneof(
      fc.uint8Array({ maxLength: HEADER_BYTES }),
      fc
        .uint8Array({ maxLength: HEADER_BYTES })
        .map((tail) => [...Buffer.from("QFI\xfb", "latin1"), ...tail]),
    );
    fc.assert(
      fc.property(anyHeader, (bytes) => {
        try {
          const { virtualSizeBytes } = imageFormat("/i", Buffer.from(bytes), bytes.length);
          assert(Number.isSafeInteger(virtualSizeBytes) && virtualSizeBytes > 0);
        } catch (error) {
          assert(error instanceof LauncherError, String(error));
        }
      }),
    );
  });
});
