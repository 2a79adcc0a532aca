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
import { isPausedByDisk, lookForRoom, pausedByDisk, roomLookedFor } from "./disk-pause.ts";
import { ended, finish } from "./ending.ts";
import {
  type DomainFact,
  type Effect,
  type MachineEvent,
  type MachineState,
  type PreparationStep,
  type Step,
  stay,
  type TimerName,
} from "./events.ts";
import { beginStop, destroy, reissued, shutdownRequested, stopTimerFired } from "./stopping.ts";

/** From the create call to a domain: far above a cold probe of qemu on a slow node. */
export const START_DEADLINE_MS = 120_000;

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
      return ended(state, fact);
  }
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
      return lookForRoom(state);
    case "resend":
    case "grace":
    case "destroy":
      return stopTimerFired(state, name, atMs);
  }
}
