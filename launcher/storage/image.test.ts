import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LauncherError } from "../errors.ts";
import { HEADER_BYTES, imageFormat } from "./image.ts";

const GIB = 1024n ** 3n;
const FILE_BYTES = 1024 * 1024;

interface Fields {
  readonly version?: number;
  readonly backing?: bigint;
  readonly clusterBits?: number;
  readonly size?: bigint;
  readonly crypt?: number;
  readonly l1Entries?: number;
  readonly l1Offset?: bigint;
  readonly refcountOffset?: bigint;
  readonly refcountClusters?: number;
  readonly snapshots?: number;
  readonly features?: bigint;
  readonly refcountOrder?: number;
}

/** A qcow2 header, sound but for the fields given. */
function qcow2(fields: Fields = {}): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("QFI\xfb", 0, "latin1");
  header.writeUInt32BE(fields.version ?? 3, 4);
  header.writeBigUInt64BE(fields.backing ?? 0n, 8);
  header.writeUInt32BE(fields.clusterBits ?? 16, 20);
  header.writeBigUInt64BE(fields.size ?? GIB, 24);
  header.writeUInt32BE(fields.crypt ?? 0, 32);
  header.writeUInt32BE(fields.l1Entries ?? 2, 36);
  header.writeBigUInt64BE(fields.l1Offset ?? 0x30000n, 40);
  header.writeBigUInt64BE(fields.refcountOffset ?? 0x10000n, 48);
  header.writeUInt32BE(fields.refcountClusters ?? 1, 56);
  header.writeUInt32BE(fields.snapshots ?? 0, 60);
  header.writeBigUInt64BE(fields.features ?? 0n, 72);
  header.writeUInt32BE(fields.refcountOrder ?? 4, 96);
  return header;
}

describe("a disk image's format", () => {
  it("is qcow2 by its magic, with the size that the header tells", () => {
    for (const version of [2, 3]) {
      assert.deepEqual(imageFormat("/i", qcow2({ version }), FILE_BYTES), {
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
    ["no size", qcow2({ size: 0n }), "ImageTooLarge"],
    ["an absurd size", qcow2({ size: 2n ** 63n }), "ImageTooLarge"],
    ["a size that no node has", qcow2({ size: 65n * 1024n * GIB, l1Entries: 133_120 }), "ImageTooLarge"],
    ["an L1 table that would fill the pod's memory", qcow2({ l1Entries: 4_194_304 }), "ImageDamaged"],
    ["an L1 table too small for its disk", qcow2({ l1Entries: 1 }), "ImageDamaged"],
    ["an L1 table behind the file's end", qcow2({ l1Offset: 0x200000n }), "ImageDamaged"],
    ["a refcount table behind the file's end", qcow2({ refcountOffset: 2n ** 62n }), "ImageDamaged"],
    ["an absurd refcount table", qcow2({ refcountClusters: 2 ** 31 }), "ImageDamaged"],
    ["no refcount table", qcow2({ refcountClusters: 0 }), "ImageDamaged"],
    ["absurd reference counts", qcow2({ refcountOrder: 7 }), "ImageDamaged"],
    ["clusters of a byte", qcow2({ clusterBits: 0 }), "ImageDamaged"],
    ["clusters of 4 GiB", qcow2({ clusterBits: 32 }), "ImageDamaged"],
    ["snapshots without end", qcow2({ snapshots: 65_536 }), "ImageDamaged"],
    ["the mark of corruption", qcow2({ features: 2n }), "ImageDamaged"],
    ["a feature of the future", qcow2({ features: 1n << 40n }), "ImageDamaged"],
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
      assert.throws(() => imageFormat("/i", header, FILE_BYTES), { name: "LauncherError", code });
    });
  }

  it("is refused for a qcow2 file that was cut short", () => {
    assert.throws(() => imageFormat("/i", qcow2(), 65_536), { code: "ImageDamaged", message: /cut short/ });
  });

  it("is refused for a raw file of an absurd size", () => {
    const code = "ImageTooLarge";
    assert.throws(() => imageFormat("/i", Buffer.alloc(HEADER_BYTES), 2 ** 50), { code });
  });

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
