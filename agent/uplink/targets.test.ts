import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_REPLICAS, planTargets } from "./targets.ts";

test("new replicas are dialled, gone ones retired, the rest left alone", () => {
  assert.deepEqual(planTargets(new Set(["10.0.0.1", "10.0.0.2"]), ["10.0.0.2", "10.0.0.3"]), {
    dial: ["10.0.0.3"],
    retire: ["10.0.0.1"],
  });
});

test("a name that can't be resolved says nothing about the replicas", () => {
  assert.deepEqual(planTargets(new Set(["10.0.0.1"]), undefined), { dial: [], retire: [] });
});

test("a name without addresses retires every replica", () => {
  assert.deepEqual(planTargets(new Set(["10.0.0.1"]), []), { dial: [], retire: ["10.0.0.1"] });
});

test("an address that is told twice is dialled once", () => {
  assert.deepEqual(planTargets(new Set(), ["10.0.0.1", "10.0.0.1"]).dial, ["10.0.0.1"]);
});

test("no name makes the agent dial without bound", () => {
  const many = Array.from({ length: 1000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  assert.equal(planTargets(new Set(), many).dial.length, MAX_REPLICAS);
});
