import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MachineEvent, MachineState } from "./events.ts";
import { factOf, factOfEvent, factOfState } from "./facts.ts";
import { initialState, reduce } from "./machine.ts";

/** Sequences of lifecycle events, event:detail, as libvirt 11.3 sends them. */
const SEQUENCES: readonly (readonly [what: string, startPaused: boolean, events: string, state: string])[] = [
  ["a start", false, "4:0 2:0", "running"],
  ["a start with the paused flag", true, "2:0 3:0", "running startPaused"],
  ["its first resume", true, "2:0 3:0 4:0", "running"],
  ["suspend", false, "4:0 2:0 3:0", "running user"],
  ["suspend and resume", false, "4:0 2:0 3:0 4:0", "running"],
  ["a full disk", false, "4:0 2:0 3:2", "running ioError"],
  ["suspend to memory and wake-up", false, "4:0 2:0 7:0 2:4", "running"],
  ["the guest's power-off", false, "4:0 2:0 6:1 5:0", "stopped shutdown"],
  ["a destroy", false, "4:0 2:0 6:2 5:1", "stopped destroyed"],
  ["a qemu that was killed", false, "4:0 2:0 5:5", "stopped crashed"],
  ["a panic", false, "4:0 2:0 8:0 5:2", "stopped panicked"],
];

function play(startPaused: boolean, events: string): string {
  let state: MachineState = { ...initialState({ startPaused }), phase: "starting" };
  for (const each of events.split(" ")) {
    const [event = "", detail = ""] = each.split(":");
    const fact = factOfEvent(Number(event), Number(detail));
    assert(fact !== undefined);
    state = reduce(state, { type: "domain", fact, atMs: 0 } satisfies MachineEvent).state;
  }
  return [state.phase, state.end?.reason, state.paused?.reason]
    .filter((word) => word !== undefined)
    .join(" ");
}

describe("libvirt's events", () => {
  for (const [what, startPaused, events, state] of SEQUENCES) {
    it(`of ${what} (${events}) lead to ${state}`, () => assert.equal(play(startPaused, events), state));
  }

  it("of defining and undefining are no facts about a running domain", () => {
    assert.equal(factOfEvent(0, 0), undefined);
    assert.equal(factOfEvent(1, 0), undefined);
    assert.equal(factOfEvent(99, 0), undefined);
  });
});

describe("an I/O error", () => {
  const event = (action: "paused" | "reported" | "none", reason: string) =>
    factOf({
      kind: "ioError",
      domain: { name: "", uuid: "", id: 1 },
      alias: "ua-data",
      path: "/d",
      action,
      reason,
    });

  it("that pauses the guest names its disk, and whether room is what it lacked", () => {
    const failure = (isOutOfRoom: boolean) => ({
      kind: "diskFailed",
      failure: { disk: "data", isOutOfRoom },
    });
    assert.deepEqual(event("paused", "enospc"), failure(true));
    assert.deepEqual(event("paused", ""), failure(false));
  });

  it("that the guest is told of, or nobody, is none of the launcher's business", () => {
    assert.equal(event("reported", "enospc"), undefined);
    assert.equal(event("none", ""), undefined);
  });
});

describe("a state read back", () => {
  it("tells what the missed events would have told", () => {
    assert.deepEqual(factOfState(1, 1), { kind: "running" });
    assert.deepEqual(factOfState(3, 5), { kind: "paused", reason: "ioError" });
    assert.deepEqual(factOfState(3, 10), { kind: "panicked" });
    assert.deepEqual(factOfState(4, 0), { kind: "shuttingDown" });
    assert.deepEqual(factOfState(5, 1), { kind: "gone", how: "shutdown" });
    assert.deepEqual(factOfState(5, 99), { kind: "gone", how: "unknown" });
    assert.deepEqual(factOfState(6, 1), { kind: "panicked" });
  });
});
