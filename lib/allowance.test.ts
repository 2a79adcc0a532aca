import assert from "node:assert/strict";
import { test } from "node:test";
import { Allowance } from "./allowance.ts";

test("a burst passes at once, then only what time has brought", () => {
  const allowance = new Allowance({ burst: 3, perSecond: 2 }, 0);
  assert.deepEqual([allowance.take(2, 0), allowance.take(2, 0), allowance.take(1, 0)], [2, 1, 0]);
  assert.equal(allowance.waitMs(1, 0), 500);
  assert.deepEqual([allowance.take(1, 499), allowance.take(1, 500)], [0, 1]);
});

test("a quiet time saves no more than the burst, and a clock that goes back nothing", () => {
  const allowance = new Allowance({ burst: 3, perSecond: 2 }, 0);
  assert.ok(allowance.isFull(0));
  assert.equal(allowance.take(3, 0), 3);
  assert.ok(!allowance.isFull(1_499));
  assert.ok(allowance.isFull(1_500));
  assert.equal(allowance.take(10, 3_600_000), 3);
  assert.equal(allowance.take(1, 0), 0);
});
