/**
 * Operator → agent: HTTP/2 requests on the TLS connection that the agent dialled (transport/).
 * Every operator replica has two connections from each agent, `status` and `streams`, so that a flood on the
 * second can't stall the first. On a new connection the operator asks GET /v1/identity and uses it for nothing
 * else before the API server has reviewed the token in the answer. Only the leader asks for status and announces.
 *
 *   GET  /v1/identity                      AgentIdentity; asked again before the token expires
 *   PUT  /v1/launchers                     body LauncherAnnouncement: the whole set for this node; 204
 *                                          (200 AnnouncementAnswer where it says anything)
 *   GET  /v1/status                        NDJSON of AgentStatus, the whole state of one thing per line
 *   GET  /v1/metrics                       AgentMetrics
 *   POST /v1/launchers/{podUid}/shutdown | pause | unpause | reset | soft-reboot   relayed to the launcher
 *   POST /v1/launchers/{podUid}/freeze | unfreeze                                 relayed to the launcher
 *   GET  /v1/launchers/{podUid}/guest-agent | dhcp | statistics                   relayed to the launcher
 *   GET  /v1/launchers/{podUid}/network                                           WiredPath; 503 LauncherNotConnected
 *   POST /v1/launchers/{podUid}/console | vnc                                     relayed, full-duplex
 */
import type { CpuBurstStrategy } from "./cpu-burst.ts";
import type { LauncherStatus } from "./launcher-protocol.ts";

export const UPLINK_ROUTES = {
  identity: "/v1/identity",
  launchers: "/v1/launchers",
  status: "/v1/status",
  metrics: "/v1/metrics",
} as const;

/** Below a launcher's route: what the agent itself knows of the pod's network. */
export const NETWORK_ROUTE = "network";

export interface AgentIdentity {
  /** Projected service account token, audience `virtpod`. */
  readonly token: string;
  readonly connection: "status" | "streams";
}

export interface LauncherAnnouncement {
  /** Which leader speaks: the lease's `leaseTransitions`. The agent refuses a smaller one with 409. */
  readonly term: number;
  readonly launchers: readonly AnnouncedLauncher[];
  /** Those that were told last when absent. */
  readonly settings?: AgentSettings;
}

/** By then the CPU burst of each is as announced, but for those that it names. */
export interface AnnouncementAnswer {
  /** UIDs of pods whose CPU burst could not be lowered to their limit: to be announced again. */
  readonly pendingCpu: readonly string[];
}

/** What the cluster's configuration says to one agent as a whole. */
export interface AgentSettings {
  /** Of the configuration that it is from; any word of up to 64 characters. */
  readonly version: string;
  readonly logLevel: AgentLogLevel;
  /** NodeBurstStrategy's. */
  readonly sharePoolThresholdPercent: number;
}

export const AGENT_LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
export type AgentLogLevel = (typeof AGENT_LOG_LEVELS)[number];

/** One launcher pod that the agent may serve, and what it may have. */
export interface AnnouncedLauncher {
  readonly podUid: string;
  readonly podName: string;
  readonly namespace: string;
  readonly vmiName: string;
  readonly vmiUid: string;
  readonly interfaces: readonly AnnouncedInterface[];
  /** Absent without a CPU limit, and for a VM with CPUs of its own: its cgroups are left alone. */
  readonly cpu?: AnnouncedCpu;
}

/** What the pod's spec gives a launcher, and how it may burst above it. */
export interface AnnouncedCpu {
  /** CPU limit of the launcher's container in thousandths of a CPU: bursts start from it and resets end at it. */
  readonly baseMilliCpu: number;
  /** The pod's limit, where other containers' add to it; baseMilliCpu when absent. */
  readonly podBaseMilliCpu?: number;
  readonly burst: CpuBurstStrategy;
  /**
   * The pod is being resized: quotas stay at the base meanwhile. On cgroup v1 the kubelet could not write a pod's quota
   * below that of its container.
   */
  readonly isResizing?: true;
}

export type AnnouncedInterface = AnnouncedBridge | AnnouncedMasquerade;

interface AnnouncedBinding {
  readonly name: string;
  readonly podInterface: string;
  /** The guest's MAC; the pod interface's own when absent. */
  readonly macAddress?: string;
  readonly queues: number;
}

export interface AnnouncedBridge extends AnnouncedBinding {
  readonly binding: "bridge";
  /** The guest may send from any MAC and address: ANNOTATION_UNGUARDED_INTERFACES names it. */
  readonly unguarded?: true;
}

export interface AnnouncedMasquerade extends AnnouncedBinding {
  readonly binding: "masquerade";
  /** The guest's subnet as IPv4 CIDR, /8 to /30: its first host is the gateway, its second the guest. */
  readonly vmNetworkCidr: string;
  /** What is passed to the guest; everything when empty. */
  readonly ports: readonly ForwardedPort[];
}

export interface ForwardedPort {
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
}

export type AgentStatus =
  | { readonly type: "node"; readonly node: NodeFacts }
  /** Every launcher that the agent knows has been told: what the operator holds besides is stale. */
  | { readonly type: "synced" }
  | { readonly type: "launcher"; readonly podUid: string; readonly status: LauncherStatus }
  /** The launcher's connection ended; its last status stands until the kubelet tells the pod's end. */
  | { readonly type: "disconnected"; readonly podUid: string }
  /** The agent could not give this pod what it was announced with. */
  | { readonly type: "refused"; readonly podUid: string; readonly code: string; readonly message: string };

export interface NodeFacts {
  /** A probe guest really ran under KVM on this node. */
  readonly kvm: { readonly usable: boolean; readonly reason: string };
  readonly agentVersion: string;
}
