/** The subnet of a guest behind the masquerade binding: KubeVirt's `vmNetworkCIDR`. */
import { formatIpv4, type Ipv4Cidr, networkOf, parseIpv4, parseIpv4Cidr } from "./cidr.ts";

export const DEFAULT_GUEST_SUBNET = "10.0.2.0/24";

/** Two hosts and the two addresses that none may have; a wider one than /8 would take in 127.0.0.0/8 or worse. */
const MAX_PREFIX_LENGTH = 30;
const MIN_PREFIX_LENGTH = 8;

export interface GuestSubnet {
  /** Host bits cleared. */
  readonly network: Ipv4Cidr;
  readonly prefixLength: number;
  /** The first host, `10.0.2.1`. */
  readonly gateway: string;
  /** The second host, `10.0.2.2`. */
  readonly guest: string;
}

/** Undefined for what is no IPv4 prefix of unicast addresses between /8 and /30. */
export function guestSubnet(cidr: string): GuestSubnet | undefined {
  const parsed = cidr.includes("/") ? parseIpv4Cidr(cidr) : undefined;
  if (parsed === undefined) return undefined;
  const { prefixLength } = parsed;
  if (prefixLength < MIN_PREFIX_LENGTH || prefixLength > MAX_PREFIX_LENGTH) return undefined;
  const address = networkOf(parsed);
  const base = parseIpv4(address) ?? 0;
  if (!isUnicast(base)) return undefined;
  return {
    network: { address, prefixLength },
    prefixLength,
    gateway: formatIpv4(base + 1),
    guest: formatIpv4(base + 2),
  };
}

/** Neither 0/8, loopback, link-local (RFC 3927), multicast nor above. */
function isUnicast(address: number): boolean {
  const first = address >>> 24;
  const isLinkLocal = address >>> 16 === 0xa9fe;
  return first !== 0 && first !== 127 && first < 224 && !isLinkLocal;
}
