/** IPv4 addresses and prefixes as plain numbers: no I/O, no exceptions for bad input unless said. */

export interface Ipv4Cidr {
  readonly address: string;
  readonly prefixLength: number;
}

/** A leading zero is octal to some readers (RFC 6943 section 3.1.1), so it is nobody's address. */
const DOTTED = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/;
const DOT = 46;
const ZERO = 48;

/** The address as an unsigned 32-bit number, or undefined when the text is not a dotted IPv4 address. */
export function parseIpv4(text: string): number | undefined {
  if (!DOTTED.test(text)) return undefined;
  let value = 0;
  let octet = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code !== DOT) {
      octet = octet * 10 + code - ZERO;
      if (octet > 255) return undefined;
      continue;
    }
    value = value * 256 + octet;
    octet = 0;
  }
  return value * 256 + octet;
}

export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** `10.244.0.7/24`; an address without a prefix is a host (`/32`). Undefined for anything else, IPv6 included. */
export function parseIpv4Cidr(text: string): Ipv4Cidr | undefined {
  const [address = "", prefix = "32", ...rest] = text.split("/");
  if (rest.length > 0 || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return undefined;
  if (parseIpv4(address) === undefined) return undefined;
  return { address, prefixLength: Number(prefix) };
}

/** 24 → 0xffffff00. */
export function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}

/** The prefix with its host bits cleared: `10.244.0.7/24` → `10.244.0.0`. */
export function networkOf(cidr: Ipv4Cidr): string {
  return formatIpv4(((parseIpv4(cidr.address) ?? 0) & maskOf(cidr.prefixLength)) >>> 0);
}

/** The directed broadcast address, or undefined where a prefix has none (/31 and /32, RFC 3021). */
export function broadcastOf(cidr: Ipv4Cidr): string | undefined {
  if (cidr.prefixLength > 30) return undefined;
  const mask = maskOf(cidr.prefixLength);
  return formatIpv4(((parseIpv4(cidr.address) ?? 0) | ~mask) >>> 0);
}

/** Whether any address is in both. */
export function overlaps(a: Ipv4Cidr, b: Ipv4Cidr): boolean {
  const prefixLength = Math.min(a.prefixLength, b.prefixLength);
  return networkOf({ ...a, prefixLength }) === networkOf({ ...b, prefixLength });
}
