/**
 * The life of one domain, as a pure reducer: what happened → the new state and what to do about it.
 *
 *   preparing ──► starting ──► running ──► stopping ──► stopped
 *       │             │            └───────────────────────▲
 *       └─────────────┴────────────────────────────────────┘
 *
 * preparing: network, libvirtd and disks, side by side. starting: the one create call is under way.
 * running: the domain exists (it may be paused). stopping: a shutdown was asked for, or the guest began one.
 * stopped: `end` tells how; nothing follows any more.
 *
 * One driver owns the state and feeds every event through here, one at a time: requests of the agent, SIGTERM,
 * libvirt's events, replies and timers can then meet in any order without a lock, and each order is a table row.
 * Libvirt's events are facts about the past; `observed` is the domain's state read back after a reconnect, when
 * events may have been missed. The same fact may come twice (an event and a reply), so every step is idempotent.
 */
import type { DomainEnd, DomainEndReason } from "../../api/launcher-protocol.ts";
import type {
  DomainFact,
  Effect,
  MachineEvent,
  MachineState,
  PreparationStep,
  RoomFinding,
  Step,
  Stop,
  TimerName,
} from "./events.ts";
import { messageOf, nextLook } from "./io-error.ts";

/** The ACPI request is repeated: a guest that is still booting drops it. KubeVirt's interval. */
export const ACPI_RESEND_MS = 5_000;
/** From the create call to a domain: far above a cold probe of qemu on a slow node. */
export const START_DEADLINE_MS = 120_000;
/**
 * From the destroy call to the domain's end. After it the launcher ends without a word from libvirt: the container
 * goes with it and takes qemu along. Below the 15 s that the pod has beside the guest's own grace period.
 */
export const DESTROY_DEADLINE_MS = 10_000;

export function initialState(spec: { readonly startPaused: boolean }): MachineState {
  return { phase: "preparing", startPaused: spec.startPaused, preparedAtMs: {}, panicked: false };
}

/** Once stopped, nothing happens any more. */
export function reduce(state: MachineState, event: MachineEvent): Step {
  if (state.phase === "stopped") return stay(state);
  switch (event.type) {
    case "prepared":
      return prepared(state, event.step, event.atMs);
    case "preparationFailed":
      // libvirtd that dies later is started again; only before the create call it is a failed start.
      if (state.phase !== "preparing") return stay(state);
      return finish(state, "failed", event.code, event.message);
    case "created":
      return domainExists(state, event.atMs);
    case "createFailed":
      if (state.phase !== "starting") return stay(state);
      return finish(state, "failed", event.code, event.message);
    case "domain":
      return domainChanged(state, event.fact, event.atMs);
    case "reconnected":
      return reissued(state);
    case "shutdownRequested":
      return shutdownRequested(state, event.gracePeriodMs, event.atMs);
    case "room":
      return roomLookedFor(state, event.finding, event.atMs);
    case "timer":
      return timerFired(state, event.name, event.atMs);
  }
}

function prepared(state: MachineState, step: PreparationStep, atMs: number): Step {
  if (state.phase !== "preparing" || state.preparedAtMs[step] !== undefined) return stay(state);
  const preparedAtMs = { ...state.preparedAtMs, [step]: atMs };
  const ready =
    preparedAtMs.network !== undefined &&
    preparedAtMs.libvirt !== undefined &&
    preparedAtMs.disks !== undefined;
  if (!ready) return stay({ ...state, preparedAtMs });
  return {
    state: { ...state, preparedAtMs, phase: "starting" },
    effects: [{ type: "create" }, { type: "arm", timer: "start", delayMs: START_DEADLINE_MS }],
  };
}

/** The create call's reply, or the first event of the domain, whichever comes first. */
function domainExists(state: MachineState, atMs: number): Step {
  if (state.phase !== "starting") return stay(state);
  const running: MachineState = {
    ...state,
    phase: "running",
    domainStartedAtMs: atMs,
    ...(state.startPaused && { paused: { reason: "startPaused" } }),
  };
  const disarm: Effect = { type: "disarm", timer: "start" };
  if (state.stop === undefined) return { state: running, effects: [disarm] };
  const step = beginStop({ ...running, stop: state.stop }, atMs);
  return { state: step.state, effects: [disarm, ...step.effects] };
}

function domainChanged(state: MachineState, fact: DomainFact, atMs: number): Step {
  if (state.phase === "preparing") return stay(state);
  // Any word of the domain but its end tells that the create call did its work.
  const born: Step = fact.kind === "gone" ? stay(state) : domainExists(state, atMs);
  const after = withFact(born.state, fact, atMs);
  return { state: after.state, effects: [...born.effects, ...after.effects] };
}

function withFact(state: MachineState, fact: DomainFact, atMs: number): Step {
  switch (fact.kind) {
    case "started":
      return stay(state);
    case "running": {
      const { paused: _, diskFailure: __, ...running } = state;
      return stay(running);
    }
    case "paused": {
      // libvirt reports a start with the paused flag as a pause by the user.
      if (state.paused?.reason === "startPaused" && fact.reason === "user") return stay(state);
      if (fact.reason === "ioError") return pausedByDisk(state, atMs);
      const { kind: _, ...paused } = fact;
      return stay({ ...state, paused });
    }
    case "diskFailed": {
      const failed = { ...state, diskFailure: fact.failure };
      return isPausedByDisk(state) ? pausedByDisk(failed, atMs) : stay(failed);
    }
    case "shuttingDown":
      return stay({ ...state, phase: "stopping" });
    case "panicked":
      if (state.panicked) return stay(state);
      return destroy({ ...state, phase: "stopping", panicked: true });
    case "gone":
      return ended(state, fact.how);
  }
}

function isPausedByDisk(state: MachineState): boolean {
  return state.paused?.reason === "ioError" && state.stop?.destroying !== true;
}

function pausedByDisk(state: MachineState, atMs: number): Step {
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

function roomLookedFor(state: MachineState, finding: RoomFinding, atMs: number): Step {
  if (!isPausedByDisk(state) || finding === "unknown") return stay(state);
  const later = lookLater(state, atMs);
  // It is looked again after a resume, too: the call may be lost, or the next write fail.
  return finding === "found" ? { ...later, effects: [{ type: "resume" }, ...later.effects] } : later;
}

function ended(state: MachineState, how: "shutdown" | "destroyed" | "crashed" | "unknown"): Step {
  // Its create call is still under way (or was lost with libvirtd): that has its own answer, and its own end here.
  if (state.phase === "starting") {
    if (how !== "unknown") return stay(state);
    return finish(state, "failed", "DomainCreation", "libvirtd died while it created the domain");
  }
  if (state.panicked) return finish(state, "panicked", "GuestPanicked", "the guest's kernel panicked");
  const outcome = how === "unknown" ? likelyEnd(state) : how;
  switch (outcome) {
    case "shutdown":
      return finish(
        state,
        "shutdown",
        "GuestPoweredOff",
        state.stop?.acpiRequested
          ? "the guest powered off as it was asked to"
          : "the guest powered off by itself",
      );
    case "destroyed":
      return finish(state, "destroyed", "Destroyed", destroyedMessage(state));
    case "crashed":
      return finish(
        state,
        "crashed",
        how === "unknown" ? "DomainLost" : "QemuCrashed",
        how === "unknown"
          ? "the domain was gone when libvirtd came back"
          : "qemu ended without the guest or the launcher asking for it",
      );
  }
}

/** How a domain most likely ended that vanished while libvirtd was away. */
function likelyEnd(state: MachineState): "shutdown" | "destroyed" | "crashed" {
  if (state.stop?.destroying) return "destroyed";
  return state.phase === "stopping" ? "shutdown" : "crashed";
}

function destroyedMessage(state: MachineState): string {
  if (state.stop?.acpiRequested)
    return "the guest did not power off within its grace period and was destroyed";
  return state.stop === undefined
    ? "the domain was destroyed from outside"
    : "the domain was destroyed on request";
}

function shutdownRequested(state: MachineState, gracePeriodMs: number, atMs: number): Step {
  if (state.phase === "preparing") {
    return finish(
      state,
      "destroyed",
      "StoppedBeforeStart",
      "a stop was asked for before the domain was started",
    );
  }
  // A later request may bring the deadline forward, never put it off.
  const asked = atMs + Math.max(0, gracePeriodMs);
  if (state.stop !== undefined && (state.stop.destroying || state.stop.deadlineMs <= asked))
    return stay(state);
  if (state.phase === "starting") {
    // The create call can't be recalled; the domain is stopped as soon as it exists.
    return {
      state: { ...state, stop: { deadlineMs: asked, acpiRequested: false, destroying: false } },
      effects: [{ type: "arm", timer: "destroy", delayMs: asked - atMs + DESTROY_DEADLINE_MS }],
    };
  }
  const acpiRequested = state.stop?.acpiRequested ?? false;
  const next = { ...state, stop: { deadlineMs: asked, acpiRequested, destroying: false } };
  return beginStop(next, atMs);
}

/** Asks the guest to power off, or destroys it where asking is pointless: no time left, or it never ran. */
function beginStop(state: MachineState & { readonly stop: Stop }, atMs: number): Step {
  const remainingMs = state.stop.deadlineMs - atMs;
  const stopping: MachineState = { ...state, phase: "stopping" };
  if (remainingMs <= 0 || state.paused?.reason === "startPaused") return destroy(stopping);
  const grace: Effect = { type: "arm", timer: "grace", delayMs: remainingMs };
  if (state.stop.acpiRequested) return { state: stopping, effects: [grace] };
  // A paused guest can't answer ACPI.
  const resume: readonly Effect[] = state.paused === undefined ? [] : [{ type: "resume" }];
  return {
    state: { ...stopping, stop: { ...state.stop, acpiRequested: true } },
    effects: [
      ...resume,
      { type: "acpiShutdown" },
      { type: "arm", timer: "resend", delayMs: ACPI_RESEND_MS },
      grace,
    ],
  };
}

function destroy(state: MachineState): Step {
  const stop: Stop = state.stop ?? { deadlineMs: 0, acpiRequested: false, destroying: false };
  return {
    state: { ...state, stop: { ...stop, destroying: true } },
    effects: [
      { type: "disarm", timer: "resend" },
      { type: "disarm", timer: "grace" },
      { type: "destroy" },
      { type: "arm", timer: "destroy", delayMs: DESTROY_DEADLINE_MS },
    ],
  };
}

/** A request that libvirtd's death swallowed is made again. */
function reissued(state: MachineState): Step {
  if (state.phase !== "stopping" || state.stop === undefined) return stay(state);
  return { state, effects: [{ type: state.stop.destroying ? "destroy" : "acpiShutdown" }] };
}

function timerFired(state: MachineState, name: TimerName, atMs: number): Step {
  switch (name) {
    case "start":
      if (state.phase !== "starting") return stay(state);
      return finish(
        state,
        "failed",
        "DomainCreation",
        `libvirt did not create the domain within ${START_DEADLINE_MS / 1000} s`,
      );
    case "room":
      if (!isPausedByDisk(state)) return stay(state);
      return { state, effects: [{ type: "lookForRoom", disk: state.diskFailure?.disk }] };
    case "resend":
      if (state.phase !== "stopping" || state.stop === undefined || state.stop.destroying) return stay(state);
      return {
        state,
        effects: [{ type: "acpiShutdown" }, { type: "arm", timer: "resend", delayMs: ACPI_RESEND_MS }],
      };
    case "grace":
      if (state.phase !== "stopping" || state.stop === undefined || state.stop.destroying) return stay(state);
      // A clock may cut a very long delay (Node's timers end at 24.8 days).
      if (atMs < state.stop.deadlineMs) {
        return {
          state,
          effects: [{ type: "arm", timer: "grace", delayMs: state.stop.deadlineMs - atMs }],
        };
      }
      return destroy(state);
    case "destroy":
      if (state.stop === undefined || !(state.stop.destroying || state.phase === "starting"))
        return stay(state);
      return finish(
        state,
        state.panicked ? "panicked" : "destroyed",
        "DestroyUnconfirmed",
        `libvirt did not confirm within ${DESTROY_DEADLINE_MS / 1000} s that the domain is destroyed; qemu ends with its container`,
      );
  }
}

function finish(state: MachineState, reason: DomainEndReason, code: string, message: string): Step {
  const end: DomainEnd = { reason, acpiRequested: state.stop?.acpiRequested ?? false, code, message };
  const { paused: _, ...rest } = state;
  const timers: readonly TimerName[] = ["start", "resend", "grace", "destroy", "room"];
  return {
    state: { ...rest, phase: "stopped", end },
    effects: [...timers.map((timer): Effect => ({ type: "disarm", timer })), { type: "finish", end }],
  };
}

function stay(state: MachineState): Step {
  return { state, effects: [] };
}
