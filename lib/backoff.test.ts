import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Backoff, backoffDelayMs, retry } from "./backoff.ts";
import { sleep } from "./clock.ts";
import { FakeClock } from "./fake-clock.ts";

test("a delay lies between the exponential value and that plus its jitter, and never grows past the cap", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 0, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (initialMs, maxMs, attempt, random) => {
        const delay = backoffDelayMs({ initialMs, maxMs, jitter: 1 }, attempt, random);
        const base = Math.min(initialMs * 2 ** attempt, maxMs);
        assert.ok(delay >= base && delay <= base * 2 && delay <= maxMs * 2);
      },
    ),
  );
});

test("a back-off doubles up to its cap and starts anew after a reset or a quiet time", () => {
  const clock = new FakeClock();
  const backoff = new Backoff({ initialMs: 800, maxMs: 30_000, jitter: 0, resetAfterMs: 120_000, clock });
  assert.deepEqual(
    Array.from({ length: 7 }, () => backoff.next()),
    [800, 1600, 3200, 6400, 12_800, 25_600, 30_000],
  );
  clock.advance(120_001);
  assert.equal(backoff.next(), 800);
  backoff.reset();
  assert.equal(backoff.attempts, 0);
  assert.equal(backoff.next(), 800);
});

test("retry returns the first success and gives up on the last attempt or on a failure that is not retriable", async () => {
  const quick = { initialMs: 0, maxMs: 0, attempts: 3 };
  let runs = 0;
  const value = await retry(async () => {
    runs += 1;
    if (runs < 3) {
      throw new Error("not yet");
    }
    return runs;
  }, quick);
  assert.equal(value, 3);
  runs = 0;
  const fail = async () => {
    runs += 1;
    throw new Error("never");
  };
  await assert.rejects(retry(fail, quick), /never/);
  assert.equal(runs, 3);
  runs = 0;
  await assert.rejects(retry(fail, { ...quick, isRetriable: () => false }), /never/);
  assert.equal(runs, 1);
});

test("sleep ends with the signal's reason and leaves no timer behind", async () => {
  const clock = new FakeClock();
  const controller = new AbortController();
  const waiting = sleep(1000, { clock, signal: controller.signal });
  controller.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
  assert.equal(clock.pending, 0);
  const other = sleep(1000, { clock });
  clock.advance(1000);
  await other;
});

test("the fake clock runs timers in order of due time and moves now and monotonic apart only by a jump", () => {
  const clock = new FakeClock(0);
  const seen: string[] = [];
  clock.setTimeout(() => seen.push("b"), 20);
  clock.setTimeout(() => {
    seen.push("a");
    clock.setTimeout(() => seen.push("c"), 15);
  }, 10);
  clock.setTimeout(() => seen.push("never"), 5).cancel();
  assert.equal(clock.nextInMs, 10);
  clock.advance(30);
  assert.deepEqual(seen, ["a", "b", "c"]);
  clock.jump(3_600_000);
  assert.deepEqual([clock.monotonic(), clock.now()], [30, 3_600_030]);
});
