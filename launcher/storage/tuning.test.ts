import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tune } from "./tuning.ts";

describe("how qemu opens a disk", () => {
  const rows: readonly (readonly [string, boolean, Parameters<typeof tune>[0], string, string])[] = [
    ["files that take O_DIRECT", true, { cache: undefined }, "none", "native"],
    ["a file system without O_DIRECT", false, { cache: undefined }, "writethrough", "threads"],
    ["a cache that was asked for", true, { cache: "writeback" }, "writeback", "threads"],
    ["AIO that was asked for", true, { cache: undefined, io: "threads" }, "none", "threads"],
  ];
  for (const [claim, canDirect, knobs, cache, io] of rows) {
    it(`is ${cache} and ${io} for ${claim}`, () => {
      assert.deepEqual(tune(knobs, canDirect), { cache, io });
    });
  }
});
