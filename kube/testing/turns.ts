/** Waiting in tests whose server and clock are in memory: no time passes, only turns of the event loop. */
import assert from "node:assert/strict";

/** Lets everything that is under way go on. */
export async function settle(turns = 10): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets everything that is under way go on until the condition holds. @throws AssertionError after 5 s */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, "the condition did not come true in 5 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
