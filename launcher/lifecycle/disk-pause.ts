/** The machine's part while a domain stands still for a disk that failed: it looks for room, and goes on. Pure. */
import { type MachineState, type RoomFinding, type Step, stay } from "./events.ts";
import { messageOf, nextLook } from "./io-error.ts";

export function isPausedByDisk(state: MachineState): boolean {
  return state.paused?.reason === "ioError" && state.stop?.destroying !== true;
}

/** By a failure of a disk, the one known last. */
export function pausedByDisk(state: MachineState, atMs: number): Step {
  const message = messageOf(state.diskFailure);
  const isSame = state.paused?.reason === "ioError" && state.paused.message === message;
  // One full disk fails every request under way, each with an event of its own.
  if (isSame) return stay(state);
  return lookLater({ ...state, paused: { reason: "ioError", message } }, atMs);
}

function lookLater(state: MachineState, atMs: number): Step {
  const next = nextLook(state.diskFailure, state.room, atMs);
  if (next === undefined) return stay(state);
  return {
    state: { ...state, room: next.watch },
    effects: [{ type: "arm", timer: "room", delayMs: next.delayMs }],
  };
}

/** When the time for it has come. */
export function lookForRoom(state: MachineState): Step {
  if (!isPausedByDisk(state)) return stay(state);
  return { state, effects: [{ type: "lookForRoom", disk: state.diskFailure?.disk }] };
}

/** Goes on once there is room. */
export function roomLookedFor(state: MachineState, finding: RoomFinding, atMs: number): Step {
  if (!isPausedByDisk(state) || finding === "unknown") return stay(state);
  const later = lookLater(state, atMs);
  // It is looked again after a resume, too: the call may be lost, or the next write fail.
  return finding === "found" ? { ...later, effects: [{ type: "resume" }, ...later.effects] } : later;
}
