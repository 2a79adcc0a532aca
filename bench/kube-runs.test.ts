import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeCommand, watchLatencies } from "./kube-runs.ts";

const write = { resourceVersion: 7, sentNs: 0, answeredNs: 2e6 };

test("a latency runs from the write's answer to the handler, and is negative when the handler was first", () => {
  assert.deepEqual(watchLatencies([write], [[7, 5e6]]), [3]);
  assert.deepEqual(watchLatencies([write], [[7, 1e6]]), [-1]);
});

test("a write that the handler was not told of is an error, not a sample less", () => {
  assert.throws(() => watchLatencies([write], [[8, 5e6]]), /not told of the write 7/);
});

test("what is measured runs with the flags that the operator is shipped with", () => {
  const [program, ...args] = nodeCommand("kube-queue.ts");
  assert.equal(program, process.execPath);
  assert.ok(args.includes("--max-semi-space-size=2"), args.join(" "));
});
