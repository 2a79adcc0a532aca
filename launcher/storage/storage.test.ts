import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { diskImageBytes } from "./claim.ts";
import { cloudInitFiles, publicKeysOf } from "./cloud-init.ts";
import { isoImage, MAX_ISO_BYTES, SECTOR_BYTES } from "./iso9660.ts";
import { type DiskFacts, tune } from "./tuning.ts";

const MIB = 1024 * 1024;
const RESERVED = 128 * 1024;

describe("the size of a claim's disk.img", () => {
  it("is the claim's capacity where there is room", () => {
    assert.equal(diskImageBytes("v", 1024 * MIB, 1024 * MIB + RESERVED), 1024 * MIB);
  });

  it("is what the file system has left of the claim, in whole mebibytes, down to nine tenths", () => {
    assert.equal(diskImageBytes("v", 1000 * MIB, 973 * MIB + RESERVED + 5), 973 * MIB);
    assert.equal(diskImageBytes("v", 1000 * MIB, 900 * MIB + RESERVED), 900 * MIB);
    assert.throws(() => diskImageBytes("v", 1000 * MIB, 899 * MIB + RESERVED), { code: "DiskNoRoom" });
  });

  it("is never larger than capacity or room, nor zero", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(2 ** 40), (capacity, free) => {
        try {
          const size = diskImageBytes("v", capacity, free);
          assert(size > 0 && size <= capacity && size <= free && size % MIB === 0);
        } catch (error) {
          assert.equal((error as { code: string }).code, "DiskNoRoom");
        }
      }),
    );
  });
});

describe("how qemu opens a disk", () => {
  const raw: DiskFacts = { kind: "file", format: "raw", canDirect: true, isAllocated: true };
  const rows: readonly (readonly [string, Partial<DiskFacts>, Parameters<typeof tune>[0], string, string])[] =
    [
      ["a full raw file", {}, { cache: undefined }, "none", "native"],
      ["a block device", { kind: "block" }, { cache: undefined }, "none", "native"],
      ["a raw file with holes", { isAllocated: false }, { cache: undefined }, "none", "threads"],
      ["a qcow2 file", { format: "qcow2" }, { cache: undefined }, "none", "threads"],
      [
        "a file system without O_DIRECT",
        { canDirect: false },
        { cache: undefined },
        "writethrough",
        "threads",
      ],
      ["a cache that was asked for", {}, { cache: "writeback" }, "writeback", "threads"],
      ["AIO that was asked for", {}, { cache: undefined, io: "threads" }, "none", "threads"],
    ];
  for (const [claim, facts, knobs, cache, io] of rows) {
    it(`is ${cache} and ${io} for ${claim}`, () => {
      assert.deepEqual(tune(knobs, { ...raw, ...facts }), { cache, io });
    });
  }
});

describe("cloud-init's files", () => {
  const content = { instanceId: "i", hostname: "h", publicKeys: [] };
  const paths = (format: "noCloud" | "configDrive") =>
    cloudInitFiles(format, content).map(({ path }) => path);

  it("have user-data even where there is none, for a NoCloud seed is none without it", () => {
    assert.deepEqual(paths("noCloud"), ["meta-data", "user-data"]);
    assert.deepEqual(paths("configDrive"), ["openstack/latest/meta_data.json"]);
  });

  it("have a key for each non-empty line of a Secret", () => {
    const files = [
      { path: "a", content: Buffer.from("k1\r\n\n k2 \n") },
      { path: "b", content: Buffer.from("k3") },
    ];
    assert.deepEqual(publicKeysOf(files), ["k1", "k2", "k3"]);
  });
});

describe("an ISO image", () => {
  const at = new Date("2026-01-02T03:04:05Z");
  const file = (path: string, bytes = 1) => ({ path, content: Buffer.alloc(bytes) });

  it("is whole sectors, of the length that its descriptors tell, for any files", () => {
    const part = fc.stringMatching(/^[A-Za-z0-9_-]{1,30}(\.[a-z]{1,5})?$/);
    const path = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("/"));
    const paths = fc
      .uniqueArray(path, { maxLength: 20 })
      .filter((all) => !all.some((one) => all.some((other) => other.startsWith(`${one}/`))));
    fc.assert(
      fc.property(paths, fc.nat(5000), (names, bytes) => {
        const image = isoImage({ label: "x", files: names.map((name) => file(name, bytes)), at });
        assert.equal(image.length % SECTOR_BYTES, 0);
        for (const sector of [16, 17]) {
          assert.equal(
            image.toString("latin1", sector * SECTOR_BYTES + 1, sector * SECTOR_BYTES + 6),
            "CD001",
          );
          assert.equal(image.readUInt32LE(sector * SECTOR_BYTES + 80) * SECTOR_BYTES, image.length);
        }
      }),
    );
  });

  it("is refused where it would be too large, too deep, or have names that no reader finds", () => {
    const refused = (code: string, ...files: ReturnType<typeof file>[]) =>
      assert.throws(() => isoImage({ label: "x", files, at }), { code });
    refused("DiskTooLarge", file("big", MAX_ISO_BYTES));
    refused("DiskCreation", file("1/2/3/4/5/6/7/8"));
    refused("DiskCreation", file("n".repeat(104)));
    refused("DiskCreation", file("ä".repeat(70)));
    refused("DiskCreation", file("a//b"));
    refused("DiskCreation", file("../b"));
  });
});
