/** libvirt's numbers (include/libvirt/libvirt-domain.h) as the machine's facts. Pure. */
import type { DomainEvent } from "../libvirt/events.ts";
import type { DomainFact, PauseReason } from "./events.ts";

/** Undefined for what concerns no running domain. */
export function factOf(event: DomainEvent): DomainFact | undefined {
  switch (event.kind) {
    case "lifecycle":
      return factOfEvent(event.event, event.detail);
    case "ioError": {
      // Reported to the guest or ignored, as its disk was told to: it runs on.
      if (event.action !== "paused") return undefined;
      const disk = event.alias.replace(/^ua-/, "");
      return { kind: "diskFailed", failure: { disk, isOutOfRoom: event.reason === "enospc" } };
    }
    default:
      return undefined;
  }
}

/**
 * virDomainEventType and its detail. Undefined for what concerns no running domain: defined, undefined, and details
 * that a launcher never causes.
 */
export function factOfEvent(event: number, detail: number): DomainFact | undefined {
  switch (event) {
    case 2: // started; detail 4: woken up from suspend
      return { kind: detail === 4 ? "running" : "started" };
    case 3: // suspended
      return { kind: "paused", reason: SUSPENDED[detail] ?? "unknown" };
    case 4: // resumed
      return { kind: "running" };
    case 5: // stopped
      return { kind: "gone", how: STOPPED[detail] ?? "crashed" };
    case 6: // shutdown: by the guest, or by a signal to qemu
      return { kind: "shuttingDown" };
    case 7: // pm-suspended
      return { kind: "paused", reason: detail === 1 ? "suspendedToDisk" : "suspendedToMemory" };
    case 8: // crashed; detail 0: panicked
      return { kind: "panicked" };
    default:
      return undefined;
  }
}

/** virDomainState and its reason, as read back after a connection was lost. */
export function factOfState(state: number, reason: number): DomainFact {
  switch (state) {
    case 3: // paused
      return reason === 10 ? { kind: "panicked" } : { kind: "paused", reason: PAUSED[reason] ?? "unknown" };
    case 4: // in shutdown
      return { kind: "shuttingDown" };
    case 5: // shut off
      return { kind: "gone", how: SHUT_OFF[reason] ?? "unknown" };
    case 6: // crashed
      return { kind: "panicked" };
    case 7: // pm-suspended
      return { kind: "paused", reason: "suspendedToMemory" };
    default: // 1 running, 2 blocked, 0 no state
      return { kind: "running" };
  }
}

type How = "shutdown" | "destroyed" | "crashed";

/** virDomainEventSuspendedDetailType */
const SUSPENDED: Readonly<Record<number, PauseReason>> = { 0: "user", 2: "ioError", 3: "watchdog" };

/** virDomainEventStoppedDetailType; 5, failed, is how libvirt tells of a qemu that was killed. */
const STOPPED: Readonly<Record<number, How>> = { 0: "shutdown", 1: "destroyed", 2: "crashed", 5: "crashed" };

/** virDomainPausedReason */
const PAUSED: Readonly<Record<number, PauseReason>> = { 1: "user", 5: "ioError", 6: "watchdog" };

/** virDomainShutoffReason */
const SHUT_OFF: Readonly<Record<number, How>> = { 1: "shutdown", 2: "destroyed", 3: "crashed", 6: "crashed" };
