/** What `ip -json` says about a network namespace, reduced to what the wiring cares for. Pure. */
import type { PlannedForwarding } from "./plan/types.ts";

/** Prints four JSON arrays in one process; the order is what {@link parseObserved} expects. */
export const OBSERVE_BATCH = [
  "link show",
  "address show",
  "route show table all",
  "neighbour show nud permanent",
];
/** -N: numbers instead of names that depend on files of the image. */
export const OBSERVE_ARGUMENTS = ["-N", "-details", "-json", "-batch", "-"];

export interface ObservedLink {
  readonly index: number;
  readonly name: string;
  readonly macAddress: string | undefined;
  readonly mtu: number;
  readonly isUp: boolean;
  readonly isLoopback: boolean;
  readonly hasArp: boolean;
  /** `bridge`, `veth`, `tun` …; absent for physical devices. */
  readonly kind: string | undefined;
  readonly master: string | undefined;
  /** Whether IPv6 gives the link no link-local address by itself. */
  readonly addressGenerationOff: boolean;
  /** Of a bridge port only. */
  readonly learning: boolean | undefined;
  /** The kind that answers for what is behind the port. As `learning`. */
  readonly proxyArp: boolean | undefined;
  readonly tap: ObservedTap | undefined;
  /** CIDR notation; link-local ones included. */
  readonly addresses: readonly ObservedAddress[];
}

export interface ObservedTap {
  /** Whose it is can't be told: ip(8) prints the user's name where the image has one for the number, -N or not. */
  readonly hasOwner: boolean;
  readonly multiQueue: boolean;
}

export interface ObservedAddress {
  readonly cidr: string;
  readonly isGlobal: boolean;
  /** The kernel made it of a router's advertisement. */
  readonly isAdvertised: boolean;
}

export interface ObservedRoute {
  /** CIDR; `0.0.0.0/0` and `::/0` for the default routes. */
  readonly destination: string;
  readonly gateway: string | undefined;
  readonly device: string;
  readonly table: "main" | "local" | "other";
  /** Made by the kernel for an address. */
  readonly isConnected: boolean;
  readonly onLink: boolean;
}

export interface ObservedNeighbour {
  readonly address: string;
  readonly device: string;
  readonly macAddress: string;
}

export interface Observed {
  readonly links: readonly ObservedLink[];
  readonly routes: readonly ObservedRoute[];
  readonly neighbours: readonly ObservedNeighbour[];
}

type Json = Readonly<Record<string, unknown>>;

/** Numbers are what -N asks for; older versions of ip(8) print some names all the same. */
const ETHERNET = ["[1]", "ether"];
const LOOPBACK = ["[772]", "loopback"];
const UNICAST = ["1", "unicast"];
const LOCAL = ["2", "local"];
const TABLE_MAIN = ["254", "main"];
const TABLE_LOCAL = ["255", "local"];
const PROTOCOL_KERNEL = ["2", "kernel"];
/** IFAPROT_KERNEL_RA, Linux 5.18 and later. */
const PROTOCOL_KERNEL_RA = ["2", "kernel_ra"];
const SCOPE_GLOBAL = ["0", "global"];

/**
 * @throws SyntaxError when the text is not what `ip` prints for {@link OBSERVE_BATCH}.
 */
export function parseObserved(text: string): Observed {
  const documents = text.split("\n").filter((line) => line.trim() !== "");
  const [links, addresses, routes, neighbours, ...rest] = documents.map((line) => array(JSON.parse(line)));
  if (links === undefined || addresses === undefined || routes === undefined || neighbours === undefined) {
    throw new SyntaxError(`ip printed ${documents.length} JSON documents instead of 4`);
  }
  if (rest.length > 0) throw new SyntaxError(`ip printed ${documents.length} JSON documents instead of 4`);
  const addressesByIndex = new Map(addresses.map((link) => [link["ifindex"], array(link["addr_info"])]));
  return {
    links: links.map((link) => parseLink(link, addressesByIndex.get(link["ifindex"]) ?? [])),
    routes: routes.flatMap(parseRoute),
    neighbours: neighbours.flatMap(parseNeighbour),
  };
}

function parseLink(link: Json, addresses: readonly Json[]): ObservedLink {
  const info = object(link["linkinfo"]);
  const data = object(info["info_data"]);
  const flags = strings(link["flags"]);
  const port = info["info_slave_kind"] === "bridge" ? object(info["info_slave_data"]) : undefined;
  const kind = text(info["info_kind"]);
  const linkType = text(link["link_type"]) ?? "";
  return {
    index: Number(link["ifindex"]),
    name: text(link["ifname"]) ?? "",
    macAddress: ETHERNET.includes(linkType) ? text(link["address"]) : undefined,
    mtu: Number(link["mtu"]),
    isUp: flags.includes("UP"),
    isLoopback: LOOPBACK.includes(linkType),
    hasArp: !flags.includes("NOARP"),
    kind,
    master: text(link["master"]),
    addressGenerationOff: link["inet6_addr_gen_mode"] === "none" || link["inet6_addr_gen_mode"] === undefined,
    learning: port && port["learning"] === true,
    proxyArp: port && port["proxy_arp_wifi"] === true,
    tap:
      kind === "tun" && data["type"] === "tap"
        ? {
            hasOwner: data["user"] !== undefined,
            multiQueue: data["multi_queue"] === true,
          }
        : undefined,
    addresses: addresses.flatMap(parseAddress),
  };
}

function parseAddress(address: Json): ObservedAddress[] {
  const local = text(address["local"]);
  if (local === undefined) return [];
  const scope = text(address["scope"]) ?? "";
  return [
    {
      cidr: `${local}/${Number(address["prefixlen"])}`,
      isGlobal: SCOPE_GLOBAL.includes(scope),
      isAdvertised:
        address["mngtmpaddr"] === true || PROTOCOL_KERNEL_RA.includes(text(address["protocol"]) ?? ""),
    },
  ];
}

function parseRoute(route: Json): ObservedRoute[] {
  const destination = text(route["dst"]);
  const device = text(route["dev"]);
  const type = text(route["type"]) ?? "unicast";
  if (destination === undefined || device === undefined || ![...UNICAST, ...LOCAL].includes(type)) return [];
  const table = text(route["table"]) ?? "main";
  const isConnected = PROTOCOL_KERNEL.includes(text(route["protocol"]) ?? "");
  return [
    {
      destination: asCidr(destination, isIpv6(route)),
      gateway: text(route["gateway"]),
      device,
      table: TABLE_MAIN.includes(table) ? "main" : TABLE_LOCAL.includes(table) ? "local" : "other",
      isConnected,
      onLink: strings(route["flags"]).includes("onlink"),
    },
  ];
}

/** The family is told of no route; only those of IPv6 have a preference (RFC 4191), and always. */
function isIpv6(route: Json): boolean {
  return route["pref"] !== undefined || text(route["gateway"])?.includes(":") === true;
}

function asCidr(destination: string, isIpv6: boolean): string {
  if (destination === "default") return isIpv6 ? "::/0" : "0.0.0.0/0";
  if (destination.includes("/")) return destination;
  return `${destination}/${destination.includes(":") ? 128 : 32}`;
}

function parseNeighbour(neighbour: Json): ObservedNeighbour[] {
  const address = text(neighbour["dst"]);
  const device = text(neighbour["dev"]);
  const macAddress = text(neighbour["lladdr"]);
  if (address === undefined || device === undefined || macAddress === undefined) return [];
  return [{ address, device, macAddress }];
}

/**
 * The static entries of a namespace's bridges.
 * @param output what `bridge -json fdb show` prints
 * @throws SyntaxError when it is not
 */
export function parseForwarding(output: string): readonly PlannedForwarding[] {
  return array(JSON.parse(output)).flatMap((entry) => {
    const macAddress = text(entry["mac"]);
    const port = text(entry["ifname"]);
    const isStatic = entry["state"] === "static" && entry["master"] !== undefined;
    return macAddress === undefined || port === undefined || !isStatic ? [] : [{ macAddress, port }];
  });
}

function array(value: unknown): readonly Json[] {
  // `ip` prints an empty object for a link that a filter left out.
  return Array.isArray(value) ? value.map(object).filter((entry) => Object.keys(entry).length > 0) : [];
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}
