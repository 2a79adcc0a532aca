/** A guest's network from its card to the pod network, with what has passed where: the answer to `virtpod net`. */

export interface NetworkPath {
  readonly interfaces: readonly InterfacePath[];
  /** Sentences: where the pod's network is not as it was made; empty for one that is. */
  readonly differences: readonly string[];
  /** Messages of the launcher's DHCP server by what became of them: `offer`, `ack`, `foreignClient` … */
  readonly dhcpCounters: Readonly<Record<string, number>>;
}

export interface InterfacePath {
  /** Of the VMI's interface. */
  readonly name: string;
  readonly binding: "bridge" | "masquerade";
  readonly guestMacAddress: string;
  /** Absent where the launcher serves no DHCP. */
  readonly lease?: LeaseState;
  /** From the guest outwards: tap, bridge, the pod's interface. */
  readonly links: readonly PathLink[];
  /** What the guard lets nobody pass, each rule once, those that met nothing too. */
  readonly dropped: readonly DroppedFrames[];
}

export interface PathLink {
  readonly role: "tap" | "bridge" | "podInterface";
  readonly name: string;
  readonly macAddress: string;
  /** Bytes. */
  readonly mtu: number;
  readonly isUp: boolean;
  /** CIDR notation. */
  readonly addresses: readonly string[];
  readonly fromGuest: Traffic;
  readonly toGuest: Traffic;
}

/** Since the link was made. */
export interface Traffic {
  readonly bytes: number;
  readonly packets: number;
  readonly dropped: number;
}

export interface DroppedFrames {
  /** Of nftables, e.g. `from-tap0`. */
  readonly chain: string;
  /** Why, e.g. `foreign-address`. */
  readonly rule: string;
  readonly packets: number;
  readonly bytes: number;
}

/** What the agent knows of it, by itself. */
export type WiredPath = Pick<NetworkPath, "differences"> & {
  readonly interfaces: readonly Omit<InterfacePath, "lease">[];
};

/** What a launcher's DHCP server tells its guest. */
export interface LeaseState {
  /** CIDR notation. */
  readonly address: string;
  readonly router?: string;
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
  readonly dnsServers: readonly string[];
  readonly searchDomains: readonly string[];
  readonly mtu: number;
  readonly leaseSeconds: number;
  /** When the guest was last given it, RFC 3339; absent before the first time. */
  readonly acknowledged?: string;
}

/** The launcher's answer to `GET /v1/dhcp`. */
export interface DhcpState {
  readonly leases: Readonly<Record<string, LeaseState>>;
  readonly counters: Readonly<Record<string, number>>;
}
