/** Checks what a node's agent and a launcher tell of a guest's network, on its way to whoever asked. */
import type {
  DhcpState,
  DroppedFrames,
  InterfacePath,
  LeaseState,
  PathLink,
  Traffic,
  WiredPath,
} from "../../api/network-path.ts";
import { list, number, object, oneOf, optionalText, sentence, text } from "./fields.ts";

const MAX_INTERFACES = 64;
const MAX_LINKS = 8;
const MAX_ADDRESSES = 64;
const MAX_RULES = 256;
const MAX_DIFFERENCES = 256;
const MAX_ROUTES = 256;
const MAX_COUNTERS = 64;

/** @throws OperatorError MalformedStatus naming the field */
export function parseWiredPath(value: unknown): WiredPath {
  const { differences, interfaces } = object(value, "network");
  return {
    interfaces: list(interfaces, "network.interfaces", MAX_INTERFACES).map(parseInterface),
    differences: list(differences, "network.differences", MAX_DIFFERENCES).map((one) =>
      sentence(one, "network.differences"),
    ),
  };
}

/** @throws OperatorError MalformedStatus naming the field */
export function parseDhcpState(value: unknown): DhcpState {
  const { counters, leases } = object(value, "dhcp");
  return {
    leases: mapped(leases, "dhcp.leases", MAX_INTERFACES, parseLease),
    counters: mapped(counters, "dhcp.counters", MAX_COUNTERS, number),
  };
}

function parseInterface(value: unknown): Omit<InterfacePath, "lease"> {
  const field = "network.interfaces";
  const { binding, dropped, guestMacAddress, links, name } = object(value, field);
  return {
    name: text(name, `${field}.name`),
    binding: oneOf(binding, ["bridge", "masquerade"], `${field}.binding`),
    guestMacAddress: text(guestMacAddress, `${field}.guestMacAddress`),
    links: list(links, `${field}.links`, MAX_LINKS).map(parseLink),
    dropped: list(dropped, `${field}.dropped`, MAX_RULES).map(parseDropped),
  };
}

function parseLink(value: unknown): PathLink {
  const field = "network.interfaces.links";
  const { addresses, fromGuest, isUp, macAddress, mtu, name, role, toGuest } = object(value, field);
  return {
    role: oneOf(role, ["tap", "bridge", "podInterface"], `${field}.role`),
    name: text(name, `${field}.name`),
    macAddress: text(macAddress, `${field}.macAddress`),
    mtu: number(mtu, `${field}.mtu`),
    isUp: isUp === true,
    addresses: texts(addresses, `${field}.addresses`),
    fromGuest: parseTraffic(fromGuest, `${field}.fromGuest`),
    toGuest: parseTraffic(toGuest, `${field}.toGuest`),
  };
}

function parseTraffic(value: unknown, field: string): Traffic {
  const { bytes, dropped, packets } = object(value, field);
  return { bytes: number(bytes, field), packets: number(packets, field), dropped: number(dropped, field) };
}

function parseDropped(value: unknown): DroppedFrames {
  const field = "network.interfaces.dropped";
  const { bytes, chain, packets, rule } = object(value, field);
  return {
    chain: text(chain, `${field}.chain`),
    rule: text(rule, `${field}.rule`),
    packets: number(packets, `${field}.packets`),
    bytes: number(bytes, `${field}.bytes`),
  };
}

function parseLease(value: unknown, field: string): LeaseState {
  const source = object(value, field);
  const { address, dnsServers, leaseSeconds, mtu, routes, searchDomains } = source;
  return {
    address: text(address, `${field}.address`),
    ...optionalText(source, "router", field),
    routes: list(routes, `${field}.routes`, MAX_ROUTES).map((route) => {
      const { destination, gateway } = object(route, `${field}.routes`);
      return { destination: text(destination, `${field}.routes`), gateway: text(gateway, `${field}.routes`) };
    }),
    dnsServers: texts(dnsServers, `${field}.dnsServers`),
    searchDomains: texts(searchDomains, `${field}.searchDomains`),
    mtu: number(mtu, `${field}.mtu`),
    leaseSeconds: number(leaseSeconds, `${field}.leaseSeconds`),
    ...optionalText(source, "acknowledged", field),
  };
}

function texts(value: unknown, field: string): readonly string[] {
  return list(value, field, MAX_ADDRESSES).map((one) => text(one, field));
}

function mapped<T>(
  value: unknown,
  field: string,
  max: number,
  parse: (value: unknown, field: string) => T,
): Readonly<Record<string, T>> {
  const entries = Object.entries(object(value, field));
  list(entries, field, max);
  return Object.fromEntries(entries.map(([name, one]) => [text(name, field), parse(one, field)]));
}
