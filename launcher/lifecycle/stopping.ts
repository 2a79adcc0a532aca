/**
 * The machine's part while a domain is stopped: the guest is asked by ACPI, again and again, until its time is over;
 * then the domain is destroyed. Pure.
 */
import { finish } from "./ending.ts";
import { type Effect, type MachineState, type Step, type Stop, stay, type TimerName } from "./events.ts";

/** The ACPI request is repeated: a guest that is still booting drops it. KubeVirt's interval. */
export const ACPI_RESEND_MS = 5_000;
/**
 * From the destroy call to the domain's end. After it the launcher ends without a word from libvirt: the container
 * goes with it and takes qemu along. Below the 15 s that the pod has beside the guest's own grace period.
 */
export const DESTROY_DEADLINE_MS = 10_000;

/** By the agent, or by SIGTERM. */
export function shutdownRequested(state: MachineState, gracePeriodMs: number, atMs: number): Step {
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
export function beginStop(state: MachineState & { readonly stop: Stop }, atMs: number): Step {
  const remainingMs = state.stop.deadlineMs - atMs;
  const stopping: MachineState = { ...state, phase: "stopping" };
  if (remainingMs <= 0 || state.paused?.reason === "startPaused") return destroy(stopping);
  const grace: Effect = { type: "arm", timer: "grace", delayMs: remainingMs };
  if (state.stop.acpiRequested) return { state: stopping, effects: [grace] };
  return {
    state: { ...stopping, stop: { ...state.stop, acpiRequested: true } },
    effects: [...ask(state), { type: "arm", timer: "resend", delayMs: ACPI_RESEND_MS }, grace],
  };
}

/**
 * A paused guest can't answer ACPI, and is let run first: each time, for the call before may have been lost. One whose
 * disk still fails stands still again at once.
 */
function ask({ paused }: MachineState): readonly Effect[] {
  return paused === undefined ? [{ type: "acpiShutdown" }] : [{ type: "resume" }, { type: "acpiShutdown" }];
}

/** Without asking the guest. */
export function destroy(state: MachineState): Step {
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
export function reissued(state: MachineState): Step {
  if (state.phase !== "stopping" || state.stop === undefined) return stay(state);
  return { state, effects: state.stop.destroying ? [{ type: "destroy" }] : ask(state) };
}

export function stopTimerFired(
  state: MachineState,
  name: Extract<TimerName, "resend" | "grace" | "destroy">,
  atMs: number,
): Step {
  switch (name) {
    case "resend":
      if (state.phase !== "stopping" || state.stop === undefined || state.stop.destroying) return stay(state);
      return {
        state,
        effects: [...ask(state), { type: "arm", timer: "resend", delayMs: ACPI_RESEND_MS }],
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
