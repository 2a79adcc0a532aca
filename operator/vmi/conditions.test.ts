import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeConditions } from "./conditions.ts";

const BEFORE = "2026-01-01T00:00:00Z";
const NOW = "2026-01-01T00:01:00Z";

describe("merged conditions", () => {
  const before = [{ type: "Ready", status: "False", reason: "A", lastTransitionTime: BEFORE }] as const;

  it("keep their transition time while the status stands, whatever its reason", () => {
    const [kept] = mergeConditions(before, [{ type: "Ready", status: "False", reason: "B" }], NOW);
    assert.deepEqual(kept, { type: "Ready", status: "False", reason: "B", lastTransitionTime: BEFORE });
    const [moved] = mergeConditions(before, [{ type: "Ready", status: "True" }], NOW);
    assert.equal(moved?.lastTransitionTime, NOW);
  });

  it("are those that are wanted, and no others", () => {
    assert.deepEqual(mergeConditions(before, [], NOW), []);
  });

  it("say no more than a status can hold, and the same each time", () => {
    const wanted = [{ type: "Synchronized", status: "False", message: "x".repeat(100_000) }] as const;
    const once = mergeConditions([], wanted, BEFORE);
    assert.equal(once[0]?.message?.length, 4096);
    assert.deepEqual(mergeConditions(once, wanted, NOW), once);
  });
});
