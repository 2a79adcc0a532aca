/** What DHCPv6 tells the guest behind one attachment. Pure. */
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { parseIpv6 } from "../../lib/ipv6.ts";
import type { Lifetimes } from "./codec.ts";

export interface Lease6 extends Lifetimes {
  /** Name of the VMI's interface. */
  readonly name: string;
  /** The bridge that the guest hangs on: requests that came by another link are nobody's. */
  readonly link: string;
  readonly address: Buffer;
  readonly serverId: Buffer;
  readonly dnsServers: readonly Buffer[];
}

/** As DHCPv4's; see launcher/dhcp/lease.ts. */
const LEASE_SECONDS = 86_400;
/** RFC 8415 section 11.4: a DUID of a link-layer address (3), of Ethernet (1). */
const DUID_LL_ETHERNET = Buffer.from("00030001", "hex");

/** Undefined where the guest has no IPv6 subnet of its own. */
export function lease6For(
  { name, guest, bridge }: InterfaceAttachment,
  resolvConf: string,
): Lease6 | undefined {
  const address =
    guest.subnet6 === undefined ? undefined : parseIpv6(guest.subnet6.address.split("/", 1).join());
  if (address === undefined) return undefined;
  const macAddress = Buffer.from(bridge.macAddress.replaceAll(":", ""), "hex");
  return {
    name,
    link: bridge.name,
    address: Buffer.from(address),
    serverId: Buffer.concat([DUID_LL_ETHERNET, macAddress]),
    dnsServers: dnsServersOf(resolvConf),
    renewalSeconds: LEASE_SECONDS / 2,
    rebindingSeconds: (LEASE_SECONDS / 5) * 4,
    validSeconds: LEASE_SECONDS,
  };
}

/** resolv.conf(5). A resolver on the pod's loopback, or on its link, is not the guest's. */
function dnsServersOf(resolvConf: string): readonly Buffer[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, text = ""]) => {
    const octets = parseIpv6(text);
    if (octets === undefined) return [];
    const isLinkLocal = octets[0] === 0xfe && ((octets[1] ?? 0) & 0xc0) === 0x80;
    return isLinkLocal || octets[0] === 0 ? [] : [Buffer.from(octets)];
  });
}
