import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseCpuList } from "./cpu-list.ts";

describe("a list of CPUs", () => {
  it("has single ones and ranges", () => {
    assert.deepEqual(parseCpuList("0-2,8,10-11\n"), new Set([0, 1, 2, 8, 10, 11]));
    assert.equal(parseCpuList("\n"), undefined);
  });

  it("is cut where it has no end", () => {
    assert.ok((parseCpuList("0-99999999999")?.size ?? 0) <= 8_192);
  });
});
