import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDurationMs } from "./duration.ts";

test("a duration is the sum of its parts, whatever their order", () => {
  for (const [text, ms] of [
    ["0", 0],
    ["0s", 0],
    ["5m0s", 300_000],
    ["1h30m", 5_400_000],
    ["300ms", 300],
    ["1.5s", 1_500],
    [".5s", 500],
    ["10m1h", 4_200_000],
    ["1000000ns", 1],
    ["1000µs", 1],
  ] as const) {
    assert.equal(parseDurationMs(text), ms, text);
  }
});

test("what Go would refuse, and a negative one, is none", () => {
  for (const text of ["", "5", "5 s", "s", "-5s", "1d", "5m-1s", "1.2.3s", "1e3s"]) {
    assert.equal(parseDurationMs(text), undefined, text);
  }
});
