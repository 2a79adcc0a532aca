/** What the launcher and its DHCP server say to each other. */
import type { Socket } from "node:dgram";
import type { EventEmitter } from "node:events";

/** A classless static route (RFC 3442). */
export interface LeaseRoute {
  /** CIDR, host bits zero: `0.0.0.0/0` for the default route. */
  readonly destination: string;
  /** `0.0.0.0` says that the destination is on the link. */
  readonly gateway: string;
}

export interface PrivateOption {
  /** 224 to 254. */
  readonly option: number;
  readonly value: string;
}

/** Everything that one guest interface is told by DHCP. Addresses are IPv4 in dotted form, durations in seconds. */
export interface Lease {
  /** Name of the VMI's interface. */
  readonly name: string;
  /** The only client that is answered: `52:54:00:12:34:56`. */
  readonly macAddress: string;
  readonly address: string;
  readonly prefixLength: number;
  /** Address of the bridge that the guest hangs on: server identifier and source of every reply. */
  readonly serverAddress: string;
  readonly router?: string;
  /** Narrowest destination first, so that the default route is last. */
  readonly routes: readonly LeaseRoute[];
  readonly dnsServers: readonly string[];
  readonly ntpServers: readonly string[];
  readonly hostname: string;
  readonly domain?: string;
  readonly searchDomains: readonly string[];
  readonly mtu: number;
  /** Printable ASCII. */
  readonly bootFileName?: string;
  /** Host name or IPv4 address. */
  readonly tftpServerName?: string;
  readonly privateOptions?: readonly PrivateOption[];
  readonly leaseSeconds: number;
  readonly renewalSeconds: number;
  readonly rebindingSeconds: number;
}

/** A client was told its address by an ACK to a DHCPREQUEST: the first time and at each renewal. */
export interface LeasedEvent {
  readonly interfaceName: string;
  readonly macAddress: string;
  readonly address: string;
}

export interface OmittedEvent {
  readonly interfaceName: string;
  /** Codes of the options that were left out. */
  readonly options: readonly number[];
}

export interface DhcpServerEvents {
  leased: [LeasedEvent];
  /** The client says that someone else uses its address (DHCPDECLINE): worth a warning. */
  declined: [LeasedEvent];
  /** For want of room in the client's messages it is not told all: the first time for each interface. */
  omitted: [OmittedEvent];
}

export interface DhcpServerOptions {
  /** One lease per guest interface; their MAC and server addresses differ. */
  readonly leases: readonly Lease[];
  /** For tests; UDP over IPv4 unless told. */
  readonly createSocket?: () => DatagramSocket;
}

/** What the server uses of a `dgram.Socket`. */
export type DatagramSocket = Pick<Socket, "bind" | "close" | "off" | "on" | "once" | "send" | "setBroadcast">;

export interface DhcpServer extends EventEmitter<DhcpServerEvents> {
  /** How often each thing happened: `offer`, `ack`, `nak`, `sendFailed` and one entry per drop reason. */
  counters(): Readonly<Record<string, number>>;
  /** Closes the sockets; resolves when they are closed. */
  close(): Promise<void>;
}
