/**
 * Agent → launcher: HTTP/2 requests on the unix socket connection that the launcher dialled (transport/).
 * The launcher asks for nothing: the kernel tells the agent who dialled, the operator's announcement tells it
 * what that pod may have, and the agent then drives the launcher with this closed set of requests.
 *
 *   PUT  /v1/attachment     body Attachment     once per connection, before anything else; 204
 *   GET  /v1/status         NDJSON of LauncherStatus: the whole state, once at the start and after each change
 *   POST /v1/shutdown       body ShutdownRequest; 202
 *   POST /v1/pause | unpause | reset | soft-reboot   204
 *   GET  /v1/guest-agent    GuestAgentInfo, as last told; 409 GuestAgentNotConnected
 *   GET  /v1/dhcp           DhcpState
 *   GET  /v1/statistics     DomainStatistics; 409 DomainNotRunning
 *   POST /v1/freeze         body FreezeRequest; 204 once the guest's file systems take no writes; 409 GuestAgentNotConnected
 *   POST /v1/unfreeze       204; 409 GuestAgentNotConnected
 *   POST /v1/console        full-duplex bytes of the serial console; a newer client displaces an older one
 *   POST /v1/vnc            full-duplex bytes of the VNC socket
 *   POST /v1/vnc?preserveSession=true   likewise; 409 VncInUse while somebody else has it
 *
 * A stream that the launcher ends carries the reason in its trailer `virtpod-end`: displaced · consoleEnded · ended; the
 * agent adds lost, of a launcher that broke off. To a client that takes nothing it can't be told: its stream is reset.
 * A failure is answered with its HTTP status and an ErrorBody.
 */
import type { AccessCredentialsStatus, GuestAgentStatus } from "./guest-agent.ts";
import type { InterfaceAttachment } from "./pod-interface.ts";

export const LAUNCHER_ROUTES = {
  attachment: "/v1/attachment",
  status: "/v1/status",
  shutdown: "/v1/shutdown",
  pause: "/v1/pause",
  unpause: "/v1/unpause",
  reset: "/v1/reset",
  softReboot: "/v1/soft-reboot",
  guestAgent: "/v1/guest-agent",
  dhcp: "/v1/dhcp",
  statistics: "/v1/statistics",
  freeze: "/v1/freeze",
  unfreeze: "/v1/unfreeze",
  console: "/v1/console",
  vnc: "/v1/vnc",
} as const;

/** Query of the VNC route: whoever is connected already is left alone. */
export const VNC_PRESERVE_SESSION = "?preserveSession=true";

export type Attachment =
  | { readonly ok: true; readonly interfaces: readonly InterfaceAttachment[] }
  /** The pod can't be given what it needs; the launcher ends with this as its termination message. */
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface ShutdownRequest {
  /** Seconds until the domain is destroyed; 0 destroys at once. */
  readonly gracePeriodSeconds: number;
}

export interface FreezeRequest {
  /** Seconds until the launcher lets the guest write again by itself; 0: it never does. */
  readonly unfreezeTimeoutSeconds: number;
}

/** A guest writes out what it holds before it is frozen; so long is it waited for, in milliseconds. */
export const FREEZE_DEADLINE_MS = 45_000;

export interface ErrorBody {
  readonly code: string;
  readonly message: string;
}

/**
 * preparing: network, libvirtd and disks side by side · starting: the domain is being created ·
 * running: created (see `paused`) · stopping: shutdown asked for or begun by the guest · stopped: see `end`.
 */
export type LauncherPhase = "preparing" | "starting" | "running" | "stopping" | "stopped";

export interface LauncherStatus {
  readonly phase: LauncherPhase;
  /** Set while the domain is paused: `user`, `ioError`, `startPaused` … */
  readonly paused?: { readonly reason: string; readonly message?: string };
  /** The machine type that libvirt chose, e.g. `pc-q35-10.0`. */
  readonly machineType?: string;
  readonly interfaces: readonly LauncherInterfaceStatus[];
  /** Present while the guest agent is connected. */
  readonly guestAgent?: GuestAgentStatus;
  /** Present where the spec has credentials for the guest agent to set. */
  readonly accessCredentials?: AccessCredentialsStatus;
  readonly end?: DomainEnd;
  /** When each step was done, RFC 3339 with milliseconds. */
  readonly timeline: LauncherTimeline;
}

export interface LauncherInterfaceStatus {
  readonly name: string;
  readonly macAddress: string;
  readonly podInterfaceName: string;
  /** Addresses that the guest is reached at, without prefix length: those handed to it, or the pod's where it stands behind them. */
  readonly ipAddresses: readonly string[];
  /** Addresses of the pod's that nothing hands to the guest, without prefix length; absent where there is none. */
  readonly withheldAddresses?: readonly string[];
  readonly queueCount: number;
  /** True once the guest acknowledged its lease by using it: a DHCPREQUEST answered with ACK. */
  readonly leased: boolean;
}

export interface LauncherTimeline {
  readonly launcherStarted: string;
  readonly networkReady?: string;
  readonly libvirtReady?: string;
  readonly disksReady?: string;
  readonly domainStarted?: string;
  readonly firstLease?: string;
}

/**
 * How the domain ended. shutdown: the guest powered off · destroyed: we ended it · crashed: qemu died ·
 * panicked: the guest's kernel told so · failed: it never started.
 */
export type DomainEndReason = "shutdown" | "destroyed" | "crashed" | "panicked" | "failed";

/** Also the pod's termination message (JSON, at most 4096 bytes: kubelet's limit). */
export interface DomainEnd {
  readonly reason: DomainEndReason;
  /** True when an ACPI shutdown had been asked for before the end. */
  readonly acpiRequested: boolean;
  readonly code: string;
  /** A sentence for the person who reads `kubectl describe`. */
  readonly message: string;
}
