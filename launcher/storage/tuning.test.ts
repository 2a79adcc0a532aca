import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DiskFacts, tune } from "./tuning.ts";

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
