import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadBetween } from "./scaler.ts";

const reading = (atMs: number, usageSeconds: number, periods: number, throttledPeriods: number) => ({
  atMs,
  usageSeconds,
  periods,
  throttledPeriods,
});

describe("what a container did between two looks", () => {
  it("is its use of the limit and the share of periods in which it stood still", () => {
    const load = loadBetween(reading(0, 10, 100, 5), reading(1_000, 10.5, 110, 10), 500);
    assert.deepEqual(load, { usePercent: 100, throttledRatio: 0.5 });
  });

  it("is unknown at the first look", () => {
    assert.deepEqual(loadBetween(undefined, reading(0, 10, 100, 5), 500), {
      usePercent: undefined,
      throttledRatio: undefined,
    });
  });

  it("is unknown where counters begin anew", () => {
    assert.deepEqual(loadBetween(reading(0, 10, 100, 50), reading(1_000, 0.1, 5, 1), 500), {
      usePercent: undefined,
      throttledRatio: undefined,
    });
    assert.equal(
      loadBetween(reading(0, 1, 100, 50), reading(1_000, 2, 110, 1), 500).throttledRatio,
      undefined,
    );
  });

  it("says nothing of throttling where it did not run, and of use where no time passed", () => {
    assert.deepEqual(loadBetween(reading(5, 1, 100, 50), reading(5, 1, 100, 50), 500), {
      usePercent: undefined,
      throttledRatio: undefined,
    });
  });
});
