/** What a lease looks like as DHCP option values. */
import { broadcastOf, formatIpv4, maskOf, parseIpv4, parseIpv4Cidr } from "../../lib/cidr.ts";
import { OPTION } from "./fields.ts";
import type { Lease, LeaseRoute } from "./types.ts";

/** Every option that the lease has a value for, the times and the message's own options apart. */
export function leaseOptions(lease: Lease): ReadonlyMap<number, Uint8Array> {
  const cidr = { address: lease.address, prefixLength: lease.prefixLength };
  const options = new Map<number, Uint8Array>();
  const set = (code: number, value: Uint8Array | undefined): void => {
    // No option that we serve may be empty (RFC 2132).
    if (value !== undefined && value.length > 0) options.set(code, value);
  };
  set(OPTION.subnetMask, addresses([formatIpv4(maskOf(lease.prefixLength))]));
  set(OPTION.router, addresses(lease.router === undefined ? [] : [lease.router]));
  set(OPTION.dnsServers, addresses(lease.dnsServers));
  set(OPTION.hostname, Buffer.from(lease.hostname, "ascii"));
  set(OPTION.domainName, Buffer.from(lease.domain ?? "", "ascii"));
  set(OPTION.mtu, unsigned16(lease.mtu));
  const broadcast = broadcastOf(cidr);
  set(OPTION.broadcastAddress, addresses(broadcast === undefined ? [] : [broadcast]));
  set(OPTION.ntpServers, addresses(lease.ntpServers));
  set(OPTION.tftpServerName, Buffer.from(lease.tftpServerName ?? "", "ascii"));
  set(OPTION.bootFileName, Buffer.from(lease.bootFileName ?? "", "ascii"));
  set(OPTION.searchList, searchList(lease.searchDomains));
  const routes = classlessRoutes(lease.routes);
  set(OPTION.classlessRoutes, routes);
  set(OPTION.classlessRoutesMicrosoft, routes);
  // Last, so that an author's own 249 stands.
  for (const { option, value } of lease.privateOptions ?? []) set(option, Buffer.from(value, "utf8"));
  return options;
}

export function addresses(list: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(list.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, address] of list.entries()) view.setUint32(index * 4, parseIpv4(address) ?? 0);
  return bytes;
}

export function unsigned32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function unsigned16(value: number): Uint8Array {
  return Uint8Array.of((value >>> 8) & 255, value & 255);
}

/** RFC 3442: prefix length, as many octets of the destination as it needs, gateway. */
export function classlessRoutes(routes: readonly LeaseRoute[]): Uint8Array {
  return Buffer.concat(
    routes.flatMap(({ destination, gateway }) => {
      const cidr = parseIpv4Cidr(destination);
      if (cidr === undefined) return [];
      const significant = addresses([cidr.address]).subarray(0, Math.ceil(cidr.prefixLength / 8));
      return [Uint8Array.of(cidr.prefixLength), significant, addresses([gateway])];
    }),
  );
}

/** RFC 3397: names as labels, a suffix that was written before replaced by a pointer to it (RFC 1035 section 4.1.4). */
export function searchList(domains: readonly string[]): Uint8Array {
  const bytes: number[] = [];
  const offsets = new Map<string, number>();
  for (const domain of domains) {
    let rest = domain;
    while (rest !== "") {
      const known = offsets.get(rest);
      if (known !== undefined) {
        bytes.push(0xc0 | (known >>> 8), known & 255);
        break;
      }
      // A pointer has 14 bits.
      if (bytes.length < 0x4000) offsets.set(rest, bytes.length);
      const dot = rest.indexOf(".");
      const label = dot < 0 ? rest : rest.slice(0, dot);
      bytes.push(label.length, ...Buffer.from(label, "ascii"));
      rest = dot < 0 ? "" : rest.slice(dot + 1);
    }
    if (rest === "") bytes.push(0);
  }
  return Uint8Array.from(bytes);
}
