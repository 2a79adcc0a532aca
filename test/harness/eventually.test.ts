import assert from "node:assert/strict";
import { it } from "node:test";
import { eventually } from "./eventually.ts";

it("what fails is tried again until it succeeds, or the time is up: then its last failure is told", async () => {
  let runs = 0;
  const succeedsAt = (run: number) => async () => {
    if (++runs < run) throw new Error(`failed ${runs} times`);
    return runs;
  };
  assert.equal(await eventually(succeedsAt(3), 10_000), 3);
  await assert.rejects(eventually(succeedsAt(Number.POSITIVE_INFINITY), 0), /failed 4 times/);
});
