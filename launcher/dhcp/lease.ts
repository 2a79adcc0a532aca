/** From what the agent found on the pod's interface to what the guest is told. Pure. */
import type { DhcpOptions } from "../../api/dhcp-options.ts";
import type { InterfaceAttachment, PodInterface } from "../../api/pod-interface.ts";
import { type Ipv4Cidr, networkOf, parseIpv4, parseIpv4Cidr } from "../../lib/cidr.ts";
import type { Lease, LeaseRoute } from "./types.ts";

/**
 * One day. The address is the pod's and never changes while the pod lives, so any time would do; a day makes every
 * guest renew now and then (its clock may jump, it may have been paused), keeps within what all clients can count,
 * which infinity (0xffffffff) doesn't, and lets a guest notice within half a day if it came to run in another pod.
 */
export const LEASE_SECONDS = 86_400;

const DEFAULT_ROUTE = "0.0.0.0/0";
const ON_LINK = "0.0.0.0";

export interface LeaseSource {
  readonly attachment: InterfaceAttachment;
  /** Content of the pod's /etc/resolv.conf: the resolver that the pod's dnsPolicy chose. */
  readonly resolvConf: string;
  readonly hostname: string;
  /** The VMI's spec.subdomain: names the headless Service that publishes the guest. */
  readonly subdomain?: string | undefined;
  readonly namespace: string;
  /** As the author of the machine wrote them; the CRD has checked them. */
  readonly dhcpOptions?: DhcpOptions | undefined;
}

export class LeaseError extends Error {
  override readonly name = "LeaseError";
  readonly code = "NoIPv4Address";
}

/**
 * The lease of the guest behind one attachment.
 * @throws LeaseError when the pod's interface has no IPv4 address.
 */
export function leaseFor(source: LeaseSource): Lease {
  const { attachment } = source;
  const place = placeOf(attachment);
  const serverAddress = attachment.bridge.address;
  if (place === undefined || serverAddress === undefined) {
    throw new LeaseError(
      `interface ${attachment.name}: pod interface ${attachment.podInterface.name} has no IPv4 address to hand to the guest`,
    );
  }
  const { ntpServers, ...boot } = source.dhcpOptions ?? {};
  const resolver = parseResolvConf(source.resolvConf);
  const domain = domainName(resolver.searchDomains, source);
  const { cidr, routes } = place;
  const router = routes.find(({ destination }) => destination === DEFAULT_ROUTE)?.gateway;
  return {
    name: attachment.name,
    macAddress: attachment.guest.macAddress.toLowerCase(),
    address: cidr.address,
    prefixLength: cidr.prefixLength,
    serverAddress,
    ...(router !== undefined && router !== ON_LINK ? { router } : {}),
    routes,
    dnsServers: resolver.nameservers,
    ntpServers: ntpServers ?? [],
    hostname: source.hostname,
    ...(domain === undefined ? {} : { domain }),
    searchDomains: withSubdomain(resolver.searchDomains, source.subdomain, domain),
    mtu: attachment.podInterface.mtu,
    ...boot,
    leaseSeconds: LEASE_SECONDS,
    renewalSeconds: LEASE_SECONDS / 2,
    rebindingSeconds: (LEASE_SECONDS / 8) * 7,
  };
}

interface Place {
  readonly cidr: Ipv4Cidr;
  readonly routes: readonly LeaseRoute[];
}

/** Where the guest stands: in a subnet of its own (masquerade), or where its pod stood. */
function placeOf({ guest, podInterface }: InterfaceAttachment): Place | undefined {
  if (guest.subnet !== undefined) {
    const cidr = parseIpv4Cidr(guest.subnet.address);
    if (cidr === undefined) return undefined;
    return { cidr, routes: [{ destination: DEFAULT_ROUTE, gateway: guest.subnet.gateway }] };
  }
  const address = firstIpv4(podInterface);
  if (address === undefined) return undefined;
  const cidr = onLinkPrefix(podInterface, address);
  return { cidr, routes: leaseRoutes(podInterface, cidr) };
}

/** Where the pod reaches its own prefix by way of a gateway (the `ptp` plugin), nobody but the guest is on its link. */
function onLinkPrefix(podInterface: PodInterface, cidr: Ipv4Cidr): Ipv4Cidr {
  const own = `${networkOf(cidr)}/${cidr.prefixLength}`;
  const isRouted = podInterface.routes.some(
    ({ destination, gateway }) => destination === own && gateway !== undefined,
  );
  return isRouted ? { ...cidr, prefixLength: 32 } : cidr;
}

/** The address that the pod is known by: CNI plugins put it first. */
export function firstIpv4(podInterface: PodInterface): Ipv4Cidr | undefined {
  return podInterface.addresses.map(parseIpv4Cidr).find((cidr) => cidr !== undefined);
}

/**
 * Routes for option 121, narrowest first. A client that reads 121 ignores option 3, so the default route is in it
 * (RFC 3442). A gateway outside the address's own prefix (Calico: a /32 and 169.254.1.1) gets a route of its own on
 * the link, or the client could not reach it.
 */
function leaseRoutes(podInterface: PodInterface, cidr: Ipv4Cidr): readonly LeaseRoute[] {
  const routes: LeaseRoute[] = [];
  const add = (destination: string, gateway: string): void => {
    if (!routes.some((route) => route.destination === destination)) routes.push({ destination, gateway });
  };
  for (const route of podInterface.routes) {
    const destination = parseIpv4Cidr(route.destination);
    if (destination === undefined) continue;
    const gateway = route.gateway ?? ON_LINK;
    if (parseIpv4(gateway) === undefined) continue;
    if (gateway !== ON_LINK && !contains(cidr, gateway)) add(`${gateway}/32`, ON_LINK);
    add(`${networkOf(destination)}/${destination.prefixLength}`, gateway);
  }
  return routes.toSorted((a, b) => prefixLength(b) - prefixLength(a));
}

function prefixLength(route: LeaseRoute): number {
  return Number(route.destination.slice(route.destination.indexOf("/") + 1));
}

function contains(cidr: Ipv4Cidr, address: string): boolean {
  return networkOf({ address, prefixLength: cidr.prefixLength }) === networkOf(cidr);
}

interface Resolver {
  readonly nameservers: readonly string[];
  readonly searchDomains: readonly string[];
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** glibc's own limit was 6 for decades; Kubernetes allows 32 (validation of dnsConfig). */
const MAX_SEARCH_DOMAINS = 32;

/** resolv.conf(5): the last `search` or `domain` line counts. Keeps only what a guest can use over IPv4. */
export function parseResolvConf(text: string): Resolver {
  const nameservers: string[] = [];
  let searchDomains: readonly string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    const [first] = values;
    if (keyword === "nameserver" && first !== undefined && reachable(first)) nameservers.push(first);
    if (keyword === "search") searchDomains = values;
    if (keyword === "domain" && first !== undefined) searchDomains = [first];
  }
  return {
    nameservers: [...new Set(nameservers)],
    searchDomains: [...new Set(searchDomains.map(normalized))].filter(isDomain).slice(0, MAX_SEARCH_DOMAINS),
  };
}

/** A resolver on the pod's loopback is not the guest's. */
function reachable(address: string): boolean {
  return parseIpv4(address) !== undefined && !address.startsWith("127.") && address !== "0.0.0.0";
}

function normalized(domain: string): string {
  return domain.toLowerCase().replace(/\.$/, "");
}

function isDomain(domain: string): boolean {
  return domain.length <= 253 && domain !== "" && domain.split(".").every((label) => LABEL.test(label));
}

/**
 * Option 15: the domain under which the cluster's DNS knows the guest. With a subdomain that is
 * `<subdomain>.<namespace>.svc.<cluster domain>`; without one, the longest search domain, because some clients
 * (Windows) search option 15 alone.
 */
function domainName(searchDomains: readonly string[], source: LeaseSource): string | undefined {
  const serviceDomain = searchDomains.find((domain) => domain.startsWith(`${source.namespace}.svc.`));
  if (source.subdomain !== undefined && source.subdomain !== "" && serviceDomain !== undefined) {
    const domain = `${source.subdomain}.${serviceDomain}`;
    if (isDomain(domain)) return domain;
  }
  return searchDomains.toSorted((a, b) => b.length - a.length)[0];
}

function withSubdomain(
  searchDomains: readonly string[],
  subdomain: string | undefined,
  domain: string | undefined,
): readonly string[] {
  if (subdomain === undefined || subdomain === "" || domain === undefined) return searchDomains;
  return [domain, ...searchDomains.filter((other) => other !== domain)];
}
