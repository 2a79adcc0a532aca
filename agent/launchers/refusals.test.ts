import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type Logger, pino } from "pino";
import { FakeClock } from "../../lib/fake-clock.ts";
import { REFUSAL_LOG_INTERVAL_MS, Refusals } from "./refusals.ts";

let clock: FakeClock;
let lines: string[];
let refusals: Refusals;

beforeEach(() => {
  clock = new FakeClock();
  lines = [];
  const log: Logger = pino(
    {},
    { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
  );
  refusals = new Refusals(log, clock);
});

test("each is counted by its code", () => {
  refusals.add("NotAnnounced", "a");
  refusals.add("PeerNotInPod", "b");
  refusals.add("NotAnnounced", "c");
  assert.deepEqual(refusals.counts, { NotAnnounced: 2, PeerNotInPod: 1 });
});

test("the first of each code is told at once, the others in a sum at its time", () => {
  refusals.add("NotAnnounced", "first");
  refusals.add("PeerNotInPod", "other");
  for (let count = 0; count < 1_000; count++) refusals.add("NotAnnounced", `number ${count}`);
  assert.deepEqual(lines, ["turned a caller away: first", "turned a caller away: other"]);
  clock.advance(REFUSAL_LOG_INTERVAL_MS);
  assert.deepEqual(lines.slice(2), ["turned 1000 more callers away, the last because: number 999"]);
});

test("a flood that goes on costs a line for each interval, and one that has ended leaves nothing behind", () => {
  for (let second = 0; second < 100; second++) {
    refusals.add("NotAnnounced", "again");
    clock.advance(1_000);
  }
  assert.equal(lines.length, 1 + 100_000 / REFUSAL_LOG_INTERVAL_MS);
  clock.advance(2 * REFUSAL_LOG_INTERVAL_MS);
  assert.equal(clock.pending, 0);
  refusals.add("NotAnnounced", "much later");
  assert.equal(lines.at(-1), "turned a caller away: much later");
});

test("what was held back is told at the end", () => {
  refusals.add("NotAnnounced", "first");
  refusals.add("NotAnnounced", "second");
  refusals.close();
  assert.equal(lines.at(-1), "turned 1 more callers away, the last because: second");
  assert.equal(clock.pending, 0);
});
