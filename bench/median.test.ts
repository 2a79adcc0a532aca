import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { median, percentile, rounded } from "./median.ts";

test("the median of an odd number of samples is the one in the middle, whatever their order", () => {
  assert.equal(median([9, 1, 5]), 5);
});

test("the median of an even number of samples lies between the two in the middle", () => {
  assert.equal(median([4, 1, 2, 100]), 3);
});

test("as many samples lie above the median as below it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (samples) => {
      const middle = median(samples);
      const above = samples.filter((sample) => sample > middle).length;
      const below = samples.filter((sample) => sample < middle).length;
      assert.ok(above <= samples.length / 2 && below <= samples.length / 2);
    }),
  );
});

test("no samples have no median", () => {
  assert.throws(() => median([]), RangeError);
});

test("figures carry two digits unless told", () => {
  assert.deepEqual([rounded(1.23456), rounded(0.1 + 0.2), rounded(12.345, 1)], [1.23, 0.3, 12.3]);
});

test("a percentile is a sample that so many per cent do not exceed", () => {
  const samples = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual(
    [0, 50, 99, 100].map((percent) => percentile(samples, percent)),
    [1, 50, 99, 100],
  );
  assert.equal(percentile([7], 99), 7);
  assert.throws(() => percentile([], 50), RangeError);
});
