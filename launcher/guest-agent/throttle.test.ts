import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../lib/fake-clock.ts";
import { Throttle } from "./throttle.ts";

function bench() {
  const clock = new FakeClock();
  const told: number[] = [];
  const throttle: Throttle<{ n: number }> = new Throttle({ n: 0 }, clock, () => told.push(throttle.value.n));
  return { clock, told, throttle };
}

describe("a throttled value", () => {
  it("is told at once, once for each change, and not for what equals it", () => {
    const { clock, told, throttle } = bench();
    throttle.set({ n: 0 });
    throttle.set({ n: 1 });
    clock.advance(60_000);
    throttle.set({ n: 1 });
    throttle.set({ n: 2 });
    assert.deepEqual(told, [1, 2]);
  });

  it("that changes a few times in a row is told of each time", () => {
    const { told, throttle } = bench();
    for (let n = 1; n <= 10; n++) throttle.set({ n });
    assert.deepEqual(told, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("that flaps all the time is told about once a minute, and its last state in the end", () => {
    const { clock, told, throttle } = bench();
    for (let n = 1; n <= 3_600; n++) {
      throttle.set({ n });
      clock.advance(1_000);
    }
    assert(told.length <= 70, `${told.length} times in an hour`);
    clock.advance(60_000);
    assert.equal(told.at(-1), 3_600);
  });

  it("that comes back before it was told of is not told at all", () => {
    const { clock, told, throttle } = bench();
    for (let n = 1; n <= 11; n++) throttle.set({ n });
    throttle.set({ n: 10 });
    clock.advance(120_000);
    assert.equal(told.length, 10);
    assert.equal(clock.pending, 0);
  });

  it("is told at once again after some minutes of quiet", () => {
    const { clock, told, throttle } = bench();
    for (let n = 1; n <= 20; n++) throttle.set({ n });
    clock.advance(600_000);
    throttle.set({ n: 100 });
    throttle.set({ n: 101 });
    assert.deepEqual(told.slice(-2), [100, 101]);
  });
});
