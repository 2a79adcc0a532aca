/** A lease as it is told to whoever debugs a guest's network. Pure. */
import type { LeaseState } from "../../api/network-path.ts";
import type { Lease } from "../dhcp/types.ts";

/** @param acknowledgedMs since the epoch; undefined while the guest has not taken it */
export function leaseState(lease: Lease, acknowledgedMs: number | undefined): LeaseState {
  const { address, dnsServers, leaseSeconds, mtu, prefixLength, router, routes, searchDomains } = lease;
  return {
    address: `${address}/${prefixLength}`,
    ...(router === undefined ? {} : { router }),
    routes,
    dnsServers,
    searchDomains,
    mtu,
    leaseSeconds,
    ...(acknowledgedMs === undefined ? {} : { acknowledged: new Date(acknowledgedMs).toISOString() }),
  };
}
