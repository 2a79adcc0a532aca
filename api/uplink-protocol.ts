/**
 * Operator → agent: HTTP/2 requests on the TLS connection that the agent dialled (transport/).
 * Every operator replica has two connections from each agent, `status` and `streams`, so that a flood on the
 * second can't stall the first. On a new connection the operator asks GET /v1/identity and uses it for nothing
 * else before the API server has reviewed the token in the answer. Only the leader asks for status and announces.
 *
 *   GET  /v1/identity                      AgentIdentity; asked again before the token expires
 *   PUT  /v1/launchers                     body LauncherAnnouncement: the whole set for this node; 204
 *   GET  /v1/status                        NDJSON of AgentStatus, the whole state of one thing per line
 *   POST /v1/launchers/{podUid}/shutdown | pause | unpause | reset | soft-reboot   relayed to the launcher
 *   POST /v1/launchers/{podUid}/freeze | unfreeze                                 relayed to the launcher
 *   GET  /v1/launchers/{podUid}/guest-agent | dhcp                                relayed to the launcher
 *   GET  /v1/launchers/{podUid}/network                                           WiredPath; 503 LauncherNotConnected
 *   POST /v1/launchers/{podUid}/console | vnc                                     relayed, full-duplex
 */
import type { LauncherStatus } from "./launcher-protocol.ts";

export const UPLINK_ROUTES = {
  identity: "/v1/identity",
  launchers: "/v1/launchers",
  status: "/v1/status",
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
}

/** One launcher pod that the agent may serve, and what it may have. */
export interface AnnouncedLauncher {
  readonly podUid: string;
  readonly podName: string;
  readonly namespace: string;
  readonly vmiName: string;
  readonly vmiUid: string;
  readonly interfaces: readonly AnnouncedInterface[];
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
