import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { machineName, optionsOf } from "./state.ts";

describe("a request's options are KubeVirt's", () => {
  for (const [what, given, expected] of [
    ["a start", optionsOf("start", { paused: true }), { paused: true }],
    ["a stop", optionsOf("stop", {}), {}],
    ["a stop with a grace period", optionsOf("stop", { gracePeriod: 5 }), { gracePeriod: 5 }],
    ["a forced stop", optionsOf("stop", { force: true }), { gracePeriod: 0 }],
    ["a forced stop with time", optionsOf("stop", { force: true, gracePeriod: 9 }), { gracePeriod: 9 }],
    ["a forced restart", optionsOf("restart", { force: true }), { gracePeriodSeconds: 0 }],
    ["a pause that is only checked", optionsOf("pause", { dryRun: true }), { dryRun: ["All"] }],
  ] as const)
    test(what, () => assert.deepEqual(given, expected));
});

test("a machine is named with or without its type", () => {
  assert.equal(machineName(["tiny"]), "tiny");
  assert.equal(machineName(["vm", "tiny"]), "tiny");
  assert.equal(machineName(["VMIs", "tiny"]), "tiny");
  assert.throws(() => machineName(["pod", "tiny"]), /no type pod: write vm or vmi/);
});
