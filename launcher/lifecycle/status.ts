/** What the launcher tells of itself, derived from the machine's state and the facts beside it. */
import type { AccessCredentialsStatus, GuestAgentStatus } from "../../api/guest-agent.ts";
import type {
  DomainEnd,
  LauncherInterfaceStatus,
  LauncherStatus,
  LauncherTimeline,
} from "../../api/launcher-protocol.ts";
import type { MachineState } from "./events.ts";

/** The kubelet cuts a longer termination message. */
export const TERMINATION_MESSAGE_MAX_BYTES = 4096;

export interface LauncherFacts {
  /** Unix time of the origin of the monotonic clock that every `…AtMs` is told in. */
  readonly epochMs: number;
  readonly launcherStartedAtMs: number;
  readonly machineType?: string;
  readonly interfaces: readonly LauncherInterfaceStatus[];
  readonly firstLeaseAtMs?: number;
  readonly guestAgent?: GuestAgentStatus;
  readonly accessCredentials?: AccessCredentialsStatus;
}

export function statusOf(state: MachineState, facts: LauncherFacts): LauncherStatus {
  return {
    phase: state.phase,
    ...(state.paused && { paused: state.paused }),
    ...(facts.machineType !== undefined && { machineType: facts.machineType }),
    interfaces: facts.interfaces,
    ...(facts.guestAgent && { guestAgent: facts.guestAgent }),
    ...(facts.accessCredentials && { accessCredentials: facts.accessCredentials }),
    ...(state.end && { end: state.end }),
    timeline: timelineOf(state, facts),
  };
}

function timelineOf(state: MachineState, facts: LauncherFacts): LauncherTimeline {
  const marks = {
    networkReady: state.preparedAtMs.network,
    libvirtReady: state.preparedAtMs.libvirt,
    disksReady: state.preparedAtMs.disks,
    domainStarted: state.domainStartedAtMs,
    firstLease: facts.firstLeaseAtMs,
  };
  const reached = Object.entries(marks).flatMap(([step, atMs]) =>
    atMs === undefined ? [] : [[step, timestamp(facts.epochMs + atMs)] as const],
  );
  return {
    launcherStarted: timestamp(facts.epochMs + facts.launcherStartedAtMs),
    ...Object.fromEntries(reached),
  };
}

function timestamp(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

/**
 * The process's exit code, which makes the pod's phase. KubeVirt's rule: a clean shutdown and a destroy without
 * asking the guest succeed; a guest that had to be destroyed after its grace period fails, as crashes and panics do.
 */
export function exitCodeOf(end: DomainEnd): 0 | 1 {
  if (end.reason === "shutdown") return 0;
  return end.reason === "destroyed" && !end.acpiRequested ? 0 : 1;
}

/** The end as JSON that fits into the termination message: a sentence too long loses its tail. */
export function terminationMessage(end: DomainEnd): string {
  for (let message = end.message; ; message = message.slice(0, Math.floor(message.length * 0.9))) {
    const text = JSON.stringify({ ...end, message: message === end.message ? message : `${message}…` });
    if (Buffer.byteLength(text) <= TERMINATION_MESSAGE_MAX_BYTES || message === "") return text;
  }
}
