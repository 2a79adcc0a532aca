/** The machine's vocabulary: what happens to a domain, what is done about it, and what is known of it. */
import type { DomainEnd, LauncherPhase } from "../../api/launcher-protocol.ts";
import type { DiskFailure, RoomWatch } from "./io-error.ts";

export type PreparationStep = "network" | "libvirt" | "disks";

export type PauseReason =
  | "startPaused"
  | "user"
  | "ioError"
  | "watchdog"
  | "suspendedToMemory"
  | "suspendedToDisk"
  | "unknown";

/** What libvirt says about the domain, by name instead of by number. */
export type DomainFact =
  /** qemu is there; whether it is paused comes apart. */
  | { readonly kind: "started" }
  | { readonly kind: "running" }
  | { readonly kind: "paused"; readonly reason: PauseReason; readonly message?: string }
  /** A disk failed and qemu stops the guest for it; the pause itself comes apart. */
  | { readonly kind: "diskFailed"; readonly failure: DiskFailure }
  /** The guest has powered off or was told to by the host; qemu still runs. */
  | { readonly kind: "shuttingDown" }
  | { readonly kind: "panicked" }
  /** No such domain any more. */
  | GoneFact;

export interface GoneFact {
  readonly kind: "gone";
  /** `unknown`: it ended unseen, while libvirtd was away. */
  readonly how: "shutdown" | "destroyed" | "crashed" | "unknown";
  /** Of a qemu that ended without being asked to. */
  readonly traces?: QemuTraces;
}

/** What a qemu has left that libvirt doesn't tell. */
export interface QemuTraces {
  /** What it wrote at last, empty for nothing; absent where that can't be read. */
  readonly lastWords?: string;
  /** The kernel has ended a process of the container's for want of memory. */
  readonly isOutOfMemory: boolean;
}

/** `atMs` is monotonic: a clock that is set must not move a deadline. */
export type MachineEvent = { readonly atMs: number } & (
  | { readonly type: "prepared"; readonly step: PreparationStep }
  | {
      readonly type: "preparationFailed";
      readonly step: PreparationStep;
      readonly code: string;
      readonly message: string;
    }
  | { readonly type: "created" }
  | { readonly type: "createFailed"; readonly code: string; readonly message: string }
  /** From libvirt's events, or read back after libvirtd came back. */
  | { readonly type: "domain"; readonly fact: DomainFact }
  /** A connection to libvirtd is there again and the domain's state was read: calls may have been lost. */
  | { readonly type: "reconnected" }
  | { readonly type: "shutdownRequested"; readonly gracePeriodMs: number }
  /** What looking for room has found. */
  | { readonly type: "room"; readonly finding: RoomFinding }
  | { readonly type: "timer"; readonly name: TimerName }
);

export type TimerName = "start" | "resend" | "grace" | "destroy" | "room";

/** `unknown`: what failed lies on no file system that could be asked. */
export type RoomFinding = "found" | "none" | "unknown";

export type Effect =
  | { readonly type: "create" }
  | { readonly type: "acpiShutdown" }
  | { readonly type: "resume" }
  | { readonly type: "destroy" }
  /** Of one disk, or of all where it isn't known which one failed. */
  | { readonly type: "lookForRoom"; readonly disk: string | undefined }
  /** A timer of the same name is replaced. */
  | { readonly type: "arm"; readonly timer: TimerName; readonly delayMs: number }
  | { readonly type: "disarm"; readonly timer: TimerName }
  /** The last effect of a life: record the end and exit. */
  | { readonly type: "finish"; readonly end: DomainEnd };

export interface MachineState {
  readonly phase: LauncherPhase;
  readonly startPaused: boolean;
  readonly preparedAtMs: Readonly<Partial<Record<PreparationStep, number>>>;
  readonly domainStartedAtMs?: number;
  readonly paused?: { readonly reason: PauseReason; readonly message?: string };
  readonly diskFailure?: DiskFailure;
  readonly room?: RoomWatch;
  readonly panicked: boolean;
  /** A shutdown was asked for. */
  readonly stop?: Stop;
  readonly end?: DomainEnd;
}

export interface Stop {
  /** When the domain is destroyed, on the events' clock. */
  readonly deadlineMs: number;
  readonly acpiRequested: boolean;
  readonly destroying: boolean;
}

export interface Step {
  readonly state: MachineState;
  readonly effects: readonly Effect[];
}

/** Nothing more is done about it. */
export function stay(state: MachineState): Step {
  return { state, effects: [] };
}
