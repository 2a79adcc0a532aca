import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DomainEnd, DomainEndReason } from "../../api/launcher-protocol.ts";
import { initialState } from "./machine.ts";
import { exitCodeOf, statusOf, TERMINATION_MESSAGE_MAX_BYTES, terminationMessage } from "./status.ts";

function end(reason: DomainEndReason, acpiRequested: boolean, message = "m"): DomainEnd {
  return { reason, acpiRequested, code: "C", message };
}

describe("the exit code", () => {
  const rows: readonly (readonly [DomainEndReason, acpiRequested: boolean, 0 | 1])[] = [
    ["shutdown", true, 0],
    ["shutdown", false, 0],
    ["destroyed", false, 0],
    ["destroyed", true, 1],
    ["crashed", false, 1],
    ["panicked", false, 1],
    ["failed", false, 1],
  ];
  for (const [reason, acpi, code] of rows) {
    it(`of ${reason} ${acpi ? "after" : "without"} an ACPI request is ${code}`, () =>
      assert.equal(exitCodeOf(end(reason, acpi)), code));
  }
});

describe("the termination message", () => {
  it("is the end as JSON", () => {
    const value = end("shutdown", true, "the guest powered off");
    assert.deepEqual(JSON.parse(terminationMessage(value)), value);
  });

  it("fits the kubelet's limit and stays JSON however long the sentence and however wide its characters", () => {
    for (const character of ["x", "ä", '"', "\n", "🙂"]) {
      const text = terminationMessage(end("failed", false, character.repeat(10_000)));
      assert(Buffer.byteLength(text) <= TERMINATION_MESSAGE_MAX_BYTES);
      assert(Buffer.byteLength(text) > TERMINATION_MESSAGE_MAX_BYTES / 2);
      assert.equal((JSON.parse(text) as DomainEnd).reason, "failed");
    }
  });
});

describe("the status", () => {
  it("tells only the steps that are done, in wall-clock time", () => {
    const state = { ...initialState({ startPaused: false }), preparedAtMs: { disks: 1_500 } };
    const epochMs = Date.UTC(2026, 0, 1);
    assert.deepEqual(statusOf(state, { epochMs, launcherStartedAtMs: 1_000, interfaces: [] }), {
      phase: "preparing",
      interfaces: [],
      timeline: { launcherStarted: "2026-01-01T00:00:01.000Z", disksReady: "2026-01-01T00:00:01.500Z" },
    });
  });
});
