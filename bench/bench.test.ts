import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "./bench.ts";

const promise = { name: "overhead", atMost: 1.5, unit: "s", figure: (seconds: number) => seconds };
const isKept = (seconds: number) => judge([promise], seconds)[0]?.isKept;

test("a figure up to its limit keeps the promise, one above breaks it", () => {
  assert.deepEqual([isKept(1.5), isKept(1.51)], [true, false]);
});

test("a figure that must not be small keeps its promise from its limit on", () => {
  const ratio = { name: "ratio", atLeast: 0.97, unit: "", figure: (value: number) => value };
  const verdicts = [0.96, 0.97, Number.NaN].map((value) => judge([ratio], value)[0]);
  assert.deepEqual(
    verdicts.map((verdict) => verdict?.isKept),
    [false, true, false],
  );
  assert.equal(verdicts[0]?.text, "ratio: 0.96, at least 0.97");
});

test("a figure that is not a number keeps no promise", () => {
  assert.equal(isKept(Number.NaN), false);
});

test("a verdict names figure, limit and unit", () => {
  assert.equal(judge([promise], 1.2345)[0]?.text, "overhead: 1.23 s, at most 1.5 s");
});
