/** IPv6 addresses as text and as their 16 octets: no I/O, no exceptions for bad input. */

export const IPV6_OCTETS = 16;

const HEXTETS = 8;
const HEXTET = /^[0-9a-f]{1,4}$/i;

/** RFC 4291 section 2.2; undefined for anything else, an address with a zone or a prefix length included. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => hextetsOf(half));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const known = head.length + (tail?.length ?? 0);
  // `::` stands for at least one group of zeros.
  if (tail === undefined ? known !== HEXTETS : known >= HEXTETS) return undefined;
  const zeros: readonly number[] = new Array(HEXTETS - known).fill(0);
  const hextets = [...head, ...zeros, ...(tail ?? [])];
  return Uint8Array.from(hextets.flatMap((hextet) => [hextet >> 8, hextet & 0xff]));
}

function hextetsOf(text: string): readonly number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const hextets: number[] = [];
  for (const [i, group] of groups.entries()) {
    const embedded = i === groups.length - 1 ? embeddedIpv4(group) : undefined;
    if (embedded !== undefined) hextets.push(...embedded);
    else if (HEXTET.test(group)) hextets.push(Number.parseInt(group, 16));
    else return undefined;
  }
  return hextets;
}

/** The last 32 bits may be written in the dotted form. */
function embeddedIpv4(text: string): readonly number[] | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
  return [a, b, c, d].some((octet) => octet > 255) ? undefined : [(a << 8) | b, (c << 8) | d];
}

/** As RFC 5952 section 4 wants it: small letters, the longest run of zeros as `::`. */
export function formatIpv6(octets: Uint8Array): string {
  const hextets = Array.from({ length: HEXTETS }, (_, i) =>
    (((octets[2 * i] ?? 0) << 8) | (octets[2 * i + 1] ?? 0)).toString(16),
  );
  const { start, length } = longestZeros(hextets);
  if (length < 2) return hextets.join(":");
  return `${hextets.slice(0, start).join(":")}::${hextets.slice(start + length).join(":")}`;
}

function longestZeros(hextets: readonly string[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= hextets.length; i++) {
    if (hextets[i] === "0") continue;
    if (i - start > longest.length) longest = { start, length: i - start };
    start = i + 1;
  }
  return longest;
}

/**
 * The address in a /64 that a host forms of its MAC (RFC 4291 appendix A); undefined when one of them is malformed.
 * @param prefix any address in the /64: `fe80::` for the link-local one
 */
export function eui64Address(prefix: string, macAddress: string): string | undefined {
  const network = parseIpv6(prefix);
  if (network === undefined || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(macAddress)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macAddress
    .split(":")
    .map((octet) => Number.parseInt(octet, 16));
  return formatIpv6(Uint8Array.of(...network.subarray(0, 8), a ^ 2, b, c, 0xff, 0xfe, d, e, f));
}
