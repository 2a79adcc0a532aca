import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isoImage, MAX_ISO_BYTES, SECTOR_BYTES } from "./iso9660.ts";

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
        assert.equal(image.length % 4096, 0);
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
