import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  dueAt,
  duePolls,
  firstPlan,
  nextPollAtMs,
  POLL_INTERVALS_MS,
  type PollName,
  type PollPlan,
  polled,
  unanswered,
} from "./polls.ts";

const HOUR_MS = 3_600_000;

/** When each was asked within an hour by an agent that answers at once. */
function asked(frozen = false): Record<PollName, number[]> {
  const times: Record<PollName, number[]> = {
    freeze: [],
    version: [],
    system: [],
    users: [],
    fileSystems: [],
  };
  let plan = firstPlan(0);
  for (let nowMs = 0; nowMs <= HOUR_MS; nowMs = nextPollAtMs(plan, frozen)) {
    for (const name of duePolls(plan, nowMs, frozen)) {
      times[name].push(nowMs);
      plan = polled(plan, name, nowMs);
    }
  }
  return times;
}

const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => (time - (times[i] ?? 0)) / 1000);

describe("polls", () => {
  it("ask everything at once, then at intervals that grow to KubeVirt's", () => {
    const times = asked();
    for (const name of Object.keys(times) as PollName[]) {
      assert.equal(times[name][0], 0);
      assert.equal(gaps(times[name]).at(-1), POLL_INTERVALS_MS[name] / 1000, name);
    }
    assert.deepEqual(gaps(times.system).slice(0, 5), [10, 20, 40, 80, 120]);
    assert.deepEqual(new Set(gaps(times.users)), new Set([10]));
    assert.deepEqual(new Set(gaps(times.freeze)), new Set([5]));
  });

  it("ask a frozen guest for nothing but that", () => {
    const { freeze, ...others } = asked(true);
    assert.deepEqual(Object.values(others).flat(), []);
    assert.equal(freeze.length, HOUR_MS / 5_000 + 1);
  });

  it("leave an agent that doesn't answer in peace, longer each time, and come back as often as before once it does", () => {
    let plan: PollPlan = firstPlan(0);
    const pauses: number[] = [];
    for (let nowMs = 0; pauses.length < 7; ) {
      assert.deepEqual(duePolls(plan, nowMs, false)[0], "freeze");
      plan = unanswered(plan, "freeze", nowMs);
      const next = nextPollAtMs(plan, false);
      assert.deepEqual(duePolls(plan, next - 1, false), []);
      pauses.push((next - nowMs) / 1000);
      nowMs = next;
    }
    assert.deepEqual(pauses, [10, 20, 40, 80, 160, 300, 300]);
    const nowMs = nextPollAtMs(plan, false);
    assert.equal(unanswered(polled(plan, "freeze", nowMs), "freeze", nowMs).pausedUntilMs - nowMs, 10_000);
  });

  it("ask sooner what is known to change", () => {
    let plan = firstPlan(0);
    for (const name of duePolls(plan, 0, false)) plan = polled(plan, name, 0);
    plan = dueAt(plan, "system", 2_000);
    assert.equal(nextPollAtMs(plan, false), 2_000);
    assert.deepEqual(duePolls(plan, 2_000, false), ["system"]);
  });
});
