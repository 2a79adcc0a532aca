import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { Progress, withProgress } from "./progress.ts";

function terminal(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, columns: 40, written, write: (text: string) => written.push(text) };
}

test("what is done within a second is not told of", async () => {
  const clock = new FakeClock();
  const stream = terminal(true);
  const progress = new Progress("asking", { stream, clock });
  clock.advance(999);
  progress.end();
  clock.advance(10_000);
  assert.deepEqual(stream.written, []);
  assert.equal(clock.pending, 0);
});

test("a longer wait is told each second with its length, and erased when it is over", () => {
  const clock = new FakeClock();
  const stream = terminal(true);
  const progress = new Progress("asking", { stream, clock });
  clock.advance(2_500);
  progress.tell("still asking somebody whose name is far too long for this line");
  progress.end();
  const erase = "\r\u001b[K";
  assert.deepEqual(stream.written, [
    `${erase}asking (1 s)`,
    `${erase}asking (2 s)`,
    `${erase}still asking somebody whose name  (2 s)`,
    erase,
  ]);
});

test("nothing is told where no terminal is", () => {
  const clock = new FakeClock();
  const stream = terminal(false);
  const progress = new Progress("asking", { stream, clock });
  clock.advance(5_000);
  progress.end();
  assert.deepEqual(stream.written, []);
});

test("the line goes also when the work fails", async () => {
  const clock = new FakeClock();
  const stream = terminal(true);
  const work = withProgress("asking", Promise.reject(new Error("no")), { stream, clock });
  clock.advance(1_000);
  await assert.rejects(work, /^Error: no$/);
  assert.equal(stream.written.at(-1), "\r\u001b[K");
  assert.equal(clock.pending, 0);
});
