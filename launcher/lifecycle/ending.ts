/** The machine's last step: how a domain ended, in a word, a code and a sentence. Pure. */
import type { DomainEnd, DomainEndReason } from "../../api/launcher-protocol.ts";
import {
  type Effect,
  type GoneFact,
  type MachineState,
  type QemuTraces,
  type Step,
  stay,
  type TimerName,
} from "./events.ts";

/** The domain is gone: what became of it, by how libvirt tells of it and by what was asked for. */
export function ended(state: MachineState, { how, traces }: GoneFact): Step {
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
      if (traces?.isOutOfMemory) return finish(state, "crashed", "OOMKilled", OUT_OF_MEMORY);
      return finish(
        state,
        "crashed",
        how === "unknown" ? "DomainLost" : "QemuCrashed",
        how === "unknown"
          ? `the domain was gone when libvirtd came back${said(traces)}`
          : `qemu ended without the guest or the launcher asking for it${said(traces)}`,
      );
  }
}

const OUT_OF_MEMORY =
  "the kernel ended qemu for want of memory: its pod was over its limit, or its node had none left; raise " +
  "spec.domain.resources";

/** qemu says why it gives up; only a signal leaves it no time. */
function said({ lastWords }: Partial<QemuTraces> = {}): string {
  if (lastWords === undefined) return "";
  return lastWords === "" ? ", and said nothing: it was ended by a signal" : `; it said: ${lastWords}`;
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

/** The last step of a life. */
export function finish(state: MachineState, reason: DomainEndReason, code: string, message: string): Step {
  const end: DomainEnd = { reason, acpiRequested: state.stop?.acpiRequested ?? false, code, message };
  const { paused: _, ...rest } = state;
  const timers: readonly TimerName[] = ["start", "resend", "grace", "destroy", "room"];
  return {
    state: { ...rest, phase: "stopped", end },
    effects: [...timers.map((timer): Effect => ({ type: "disarm", timer })), { type: "finish", end }],
  };
}
