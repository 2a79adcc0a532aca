/** A pod's interface as the CNI plugin left it, read before anything was changed. */

export interface PodInterface {
  readonly name: string;
  readonly macAddress: string;
  readonly mtu: number;
  /** Global addresses, IPv4 and IPv6, in CIDR notation as the kernel shows them: `10.244.0.7/24`. */
  readonly addresses: readonly string[];
  /** Those of the IPv6 addresses that follow from router advertisements; absent where there is none. */
  readonly advertised?: readonly string[];
  /** Routes through this interface, kernel's own connected and local ones left out. */
  readonly routes: readonly PodRoute[];
  /** Permanent neighbours (Calico and AWS pin their gateway). */
  readonly neighbours: readonly PodNeighbour[];
}

export interface PodRoute {
  /** CIDR; `0.0.0.0/0` for the default route. */
  readonly destination: string;
  /** Absent for a route whose destination is on the link. */
  readonly gateway?: string;
  /** `scope link` (or RTNH_F_ONLINK): the gateway is reached without being inside a connected subnet. */
  readonly onLink?: boolean;
}

export interface PodNeighbour {
  readonly address: string;
  readonly macAddress: string;
}

/** What the agent made of one interface, told to the launcher. */
export interface InterfaceAttachment {
  /** Name of the VMI's interface. */
  readonly name: string;
  /** Facts of the pod's interface before the wiring: what DHCP hands to the guest. */
  readonly podInterface: PodInterface;
  readonly guest: {
    readonly macAddress: string;
    /** Of the masquerade binding: the guest's own subnet. Without it the guest has the pod interface's address. */
    readonly subnet?: GuestSubnetAttachment;
    /** The same for IPv6, where the pod has it: then DHCPv6 hands the address over. */
    readonly subnet6?: GuestSubnetAttachment;
  };
  readonly tap: { readonly name: string; readonly queues: number };
  readonly bridge: {
    readonly name: string;
    readonly macAddress: string;
    /**
     * Without prefix length: DHCP server identifier and source. 169.254.75.1x, or the gateway of the guest's subnet.
     * Absent where the pod's interface has no address, so that there is nothing to serve.
     */
    readonly address?: string;
  };
}

export interface GuestSubnetAttachment {
  /** The guest's, in CIDR notation: `10.0.2.2/24`, `fd10:0:2::2/120`. */
  readonly address: string;
  /** Without prefix length. */
  readonly gateway: string;
}
