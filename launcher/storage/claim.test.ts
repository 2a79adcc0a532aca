import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { diskImageBytes } from "./claim.ts";

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
