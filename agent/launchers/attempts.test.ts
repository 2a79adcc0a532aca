import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPTS_OF_A_POD, Attempts } from "./attempts.ts";

const { burst, perSecond } = ATTEMPTS_OF_A_POD;

test("a pod has its attempts, and then one as often as it may", () => {
  const attempts = new Attempts();
  const had = Array.from({ length: burst + 5 }, () => attempts.take("a", 1, 0)).filter(Boolean);
  assert.equal(had.length, burst);
  assert.ok(!attempts.take("a", 2, 1000 / perSecond - 1));
  assert.ok(attempts.take("a", 2, 1000 / perSecond));
  assert.ok(!attempts.take("a", 2, 1000 / perSecond));
});

test("one pod's haste is not another's", () => {
  const attempts = new Attempts();
  for (let count = 0; count <= burst; count++) attempts.take("a", 1, 0);
  assert.ok(attempts.take("b", 2, 0));
  assert.deepEqual([attempts.isHasty(1, 0), attempts.isHasty(2, 0)], [true, false]);
});

test("a process is hasty until its pod may connect again", () => {
  const attempts = new Attempts();
  for (let count = 0; count <= burst; count++) attempts.take("a", 1, 0);
  assert.ok(attempts.isHasty(1, 1000 / perSecond - 1));
  assert.ok(!attempts.isHasty(1, 1000 / perSecond));
});

test("launchers that retry as they do are never too many", () => {
  const attempts = new Attempts();
  let nowMs = 0;
  for (let delayMs = 20; delayMs < 5_000; delayMs *= 2) {
    assert.ok(attempts.take("a", 1, nowMs));
    nowMs += delayMs;
  }
});
