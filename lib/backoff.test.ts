import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "./backoff.ts";

test("delays double from the first up to the bound, and start over after a success", () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 1000, random: () => 0.5 });
  assert.deepEqual(
    Array.from({ length: 6 }, () => backoff.next()),
    [100, 200, 400, 800, 1000, 1000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test("jitter stays within its share of the delay and never passes the bound", () => {
  const low = new Backoff({ initialMs: 100, maxMs: 1000, jitter: 0.2, random: () => 0 });
  assert.equal(low.next(), 80);
  const high = new Backoff({ initialMs: 1000, maxMs: 1000, jitter: 0.2, random: () => 0.999 });
  assert.equal(high.next(), 1000);
});

test("a thousand failures in a row still give the bound", () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 1000, random: () => 0.5 });
  for (let i = 0; i < 1000; i++) backoff.next();
  assert.equal(backoff.next(), 1000);
});
