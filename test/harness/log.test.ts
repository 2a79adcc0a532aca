import assert from "node:assert/strict";
import { test } from "node:test";
import { isConsoleLine, LEASE, parseLogLine } from "./log.ts";

test("a line has the runtime's time and the text without the console's carriage return", () => {
  assert.deepEqual(parseLogLine("2026-11-21T05:08:58.820432123Z virtpod-guest: uptime=2.50 booted\r"), {
    atMs: Date.UTC(2026, 10, 21, 5, 8, 58, 820),
    text: "virtpod-guest: uptime=2.50 booted",
  });
});

test("an empty line of the console is a line, one without a time is none", () => {
  assert.equal(parseLogLine("2026-11-21T05:08:58Z ")?.text, "");
  assert.equal(parseLogLine("failed to follow"), undefined);
});

test("the launcher's log is told from the guest's console", () => {
  assert.equal(isConsoleLine('{"level":30,"msg":"the domain runs"}'), false);
  assert.equal(isConsoleLine("{ echo hello; }"), true);
});

test("the guest's lease line gives its uptime and address", () => {
  const match = LEASE.exec("virtpod-guest: uptime=2.96 lease ip=10.77.0.2 mask=255.255.255.0 router=");
  assert.deepEqual([match?.[1], match?.[2]], ["2.96", "10.77.0.2"]);
});
