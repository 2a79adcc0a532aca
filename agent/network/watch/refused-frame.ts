/** What a frame that the guard refused was, in the words of a log. Pure: a hostile guest wrote every octet of it. */
import { formatIpv4 } from "../../../lib/cidr.ts";
import { formatIpv6, IPV6_OCTETS } from "../../../lib/ipv6.ts";
import type { LoggedPacket } from "./nflog.ts";

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;

export interface RefusedFrame {
  /** The link that it came in on: `tap0`. */
  readonly link: string;
  /** The guard's rule: `foreign-mac`. */
  readonly rule: string;
  /** Absent where the kernel told no Ethernet header. */
  readonly from?: string;
  readonly to?: string;
  /** `0x0806`, of what is in the frame without VLAN tags. */
  readonly etherType?: string;
  /** Of IPv4, ARP and IPv6. */
  readonly sourceAddress?: string;
  readonly destinationAddress?: string;
}

/** Undefined for a packet that no rule of the guard's logged. */
export function describeRefused({ prefix, header, payload }: LoggedPacket): RefusedFrame | undefined {
  const [link, rule, ...rest] = prefix.split(" ");
  if (link === undefined || rule === undefined || rest.length > 0) return undefined;
  if (header === undefined || header.length < 14) return { link, rule };
  const etherType = header.readUInt16BE(12);
  return {
    link,
    rule,
    to: mac(header.subarray(0, 6)),
    from: mac(header.subarray(6, 12)),
    etherType: `0x${etherType.toString(16).padStart(4, "0")}`,
    ...addresses(etherType, payload),
  };
}

function addresses(
  etherType: number,
  payload: Buffer,
): Pick<RefusedFrame, "sourceAddress" | "destinationAddress"> {
  const ipv4 = (at: number) => formatIpv4(payload.readUInt32BE(at));
  const ipv6 = (at: number) => formatIpv6(payload.subarray(at, at + IPV6_OCTETS));
  switch (true) {
    case etherType === ETHERTYPE_IPV4 && payload.length >= 20:
      return { sourceAddress: ipv4(12), destinationAddress: ipv4(16) };
    case etherType === ETHERTYPE_ARP && payload.length >= 28:
      return { sourceAddress: ipv4(14), destinationAddress: ipv4(24) };
    case etherType === ETHERTYPE_IPV6 && payload.length >= 40:
      return { sourceAddress: ipv6(8), destinationAddress: ipv6(24) };
    default:
      return {};
  }
}

function mac(octets: Buffer): string {
  return [...octets].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}
