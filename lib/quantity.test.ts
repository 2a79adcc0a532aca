import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareQuantities, formatBytes, parseQuantity, QuantityError, quantityNanos } from "./quantity.ts";

const READINGS: readonly (readonly [string | number, number])[] = [
  [2, 2],
  [0.5, 0.5],
  ["0", 0],
  ["1", 1],
  ["+1", 1],
  ["-1", -1],
  ["1.", 1],
  [".5", 0.5],
  ["100m", 0.1],
  ["1500m", 1.5],
  ["1u", 0.000_001],
  ["128Mi", 134_217_728],
  ["1.5Gi", 1_610_612_736],
  ["1k", 1000],
  ["1M", 1_000_000],
  ["1e3", 1000],
  ["1E3", 1000],
  ["1E", 1e18],
  ["12e-1", 1.2],
];

for (const [written, value] of READINGS) {
  test(`${JSON.stringify(written)} is ${value}`, () => {
    assert.equal(parseQuantity(written), value);
  });
}

for (const text of [
  "",
  "Mi",
  "1 Mi",
  "1mi",
  "1Kib",
  "1KI",
  "0x10",
  "1e",
  "1e99",
  "NaN",
  "Infinity",
  "--1",
  "1".repeat(65),
]) {
  test(`${JSON.stringify(text.slice(0, 20))} is no quantity`, () => {
    assert.throws(() => parseQuantity(text), QuantityError);
  });
}

test("an amount of bytes that a double can't hold is compared exactly", () => {
  assert.equal(quantityNanos("9007199254740993"), 9_007_199_254_740_993_000_000_000n);
  assert.equal(compareQuantities("9007199254740993", "9007199254740992"), 1);
});

test("what is finer than a thousand-millionth is rounded up", () => {
  assert.equal(quantityNanos("0.1n"), 1n);
});

test("two ways to write one amount are equal", () => {
  assert.equal(compareQuantities("1Gi", 1_073_741_824), 0);
  assert.equal(compareQuantities("1", "1000m"), 0);
  assert.equal(compareQuantities("1M", "1Mi"), -1);
});

test("bytes are formatted with the largest suffix that leaves a whole number", () => {
  assert.equal(formatBytes(0), "0");
  assert.equal(formatBytes(1000), "1000");
  assert.equal(formatBytes(1536), "1536");
  assert.equal(formatBytes(128 * 1024 * 1024), "128Mi");
  assert.equal(formatBytes(1.5 * 1024 ** 3), "1536Mi");
  assert.throws(() => formatBytes(1.5), RangeError);
});

test("formatted bytes are read back as they were", () => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (bytes) => {
      assert.equal(parseQuantity(formatBytes(bytes)), bytes);
    }),
  );
});

test("any text is either read as a finite number or refused with a QuantityError", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[-+0-9.eEinumkKMGTP]{0,12}$/), (text) => {
      try {
        assert.ok(Number.isFinite(parseQuantity(text)));
      } catch (error) {
        assert.ok(error instanceof QuantityError);
      }
    }),
  );
});
