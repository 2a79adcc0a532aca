/** What a wired pod's network consists of, binding by binding. */
import type { InterfaceAttachment } from "../../../api/pod-interface.ts";
import type { Chain, Ruleset } from "../ruleset.ts";

/** The pod's interface as a port of the guest's bridge. */
export interface PlannedUplink {
  readonly name: string;
  readonly macAddress: string;
  /** The bridge answers ARP for its own permanent neighbours behind this port. */
  readonly proxyArp: boolean;
}

export interface PlannedBridge {
  readonly name: string;
  readonly macAddress: string;
  /** CIDR. */
  readonly address?: string;
  /** CIDR, of IPv6. */
  readonly addresses6?: readonly string[];
}

export interface PlannedTap {
  readonly name: string;
  readonly user: number;
  readonly multiQueue: boolean;
}

/** Keeps the pod's address for whoever looks (kubelet, CNI plugins at DEL); never up. */
export interface PlannedPlaceholder {
  readonly name: string;
  readonly macAddress: string;
  readonly addresses: readonly string[];
}

export interface PlannedRoute {
  readonly destination: string;
  readonly device: string;
}

export interface PlannedNeighbour {
  readonly address: string;
  readonly macAddress: string;
  readonly device: string;
}

/** Which port of a bridge a MAC is behind. */
export interface PlannedForwarding {
  readonly macAddress: string;
  readonly port: string;
}

/** A file below /proc/sys; an optional one may not exist. */
export interface PlannedSysctl {
  readonly path: string;
  readonly value: string;
  readonly optional: boolean;
}

export interface InterfacePlan {
  readonly mtu: number;
  /** Number of the pod's own link, which stays with it when it is renamed. */
  readonly podLink: number;
  /** Without it the pod's link stays as the CNI plugin left it. */
  readonly uplink?: PlannedUplink;
  readonly placeholder?: PlannedPlaceholder;
  readonly bridge: PlannedBridge;
  readonly tap: PlannedTap;
  readonly routes: readonly PlannedRoute[];
  readonly neighbours: readonly PlannedNeighbour[];
  /** Without these a bridge does not answer ARP for its neighbours. Most pods need none. */
  readonly forwarding: readonly PlannedForwarding[];
  readonly chains: readonly Chain[];
  readonly sysctls: readonly PlannedSysctl[];
  readonly attachment: InterfaceAttachment;
}

export interface NetworkPlan {
  readonly interfaces: readonly InterfacePlan[];
  readonly guard: Ruleset;
  readonly sysctls: readonly PlannedSysctl[];
}
