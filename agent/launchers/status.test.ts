import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LauncherStatus } from "../../api/launcher-protocol.ts";
import { parseLauncherStatus } from "./status.ts";

const status: LauncherStatus = {
  phase: "running",
  interfaces: [],
  timeline: { launcherStarted: "2026-01-01T00:00:00.000Z" },
};

test("a launcher's status passes whole", () => {
  assert.deepEqual(parseLauncherStatus({ ...status, machineType: "pc-q35-10.0" }), {
    ...status,
    machineType: "pc-q35-10.0",
  });
});

test("a status without its frame, or too long, is refused", () => {
  for (const value of [
    { ...status, phase: "flying" },
    { ...status, interfaces: {} },
    { ...status, timeline: null },
    { ...status, machineType: "x".repeat(70_000) },
  ]) {
    assert.throws(() => parseLauncherStatus(value), { code: "InvalidStatus" });
  }
});

test("no value makes it throw anything else", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert.throws(() => parseLauncherStatus(value), { code: "InvalidStatus" });
    }),
  );
});
