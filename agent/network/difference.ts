/**
 * Where a namespace is not as planned, each with the `ip` commands that make it so. Pure. A fresh namespace differs in
 * everything, one whose wiring was cut short in the rest, a wired one in nothing: this is also what makes it idempotent.
 */
import { NetworkError } from "./errors.ts";
import type { Observed, ObservedLink } from "./observed.ts";
import type {
  InterfacePlan,
  PlannedBridge,
  PlannedForwarding,
  PlannedPlaceholder,
  PlannedTap,
  PlannedUplink,
} from "./plan/types.ts";

export interface Difference {
  /** `k6t-eth0: is not there`. */
  readonly what: string;
  /** Lines for `ip -batch`, without the leading `ip`. */
  readonly commands: readonly string[];
}

/**
 * In the order in which they must be mended.
 * @throws NetworkError NoSuchInterface when the pod's interface is gone from the namespace.
 */
export function linkDifferences(observed: Observed, plan: InterfacePlan): readonly Difference[] {
  const { bridge, tap, mtu } = plan;
  const podLink = observed.links.find(({ index }) => index === plan.podLink);
  if (podLink === undefined) {
    throw new NetworkError(
      "NoSuchInterface",
      `link number ${plan.podLink}, the pod's interface (${plan.attachment.podInterface.name}), ` +
        "is gone from the pod's network namespace",
    );
  }
  return [
    ...uplinkDifferences(podLink, plan.uplink),
    ...bridgeDifferences(observed, bridge, mtu),
    ...placeholderDifferences(observed, plan),
    ...tapDifferences(observed, tap, mtu),
    ...portDifferences(observed, plan, podLink),
    ...upDifferences(observed, plan, podLink),
    ...routeDifferences(observed, plan),
  ];
}

function find(observed: Observed, name: string): ObservedLink | undefined {
  return observed.links.find((link) => link.name === name);
}

function difference(what: string, ...commands: readonly string[]): Difference {
  return { what, commands };
}

/** The pod's interface frees its MAC and name for the guest and the placeholder, and gives up its addresses. */
function uplinkDifferences(link: ObservedLink, uplink: PlannedUplink | undefined): readonly Difference[] {
  if (uplink === undefined) return [];
  const found: Difference[] = [];
  const misnamed = link.name !== uplink.name;
  if (misnamed || link.macAddress !== uplink.macAddress) {
    if (link.isUp) {
      found.push(difference(`${link.name}: is up`, `link set dev ${link.name} down`));
    }
  }
  if (link.addresses.length > 0) {
    found.push(difference(`${link.name}: has addresses`, `address flush dev ${link.name}`));
  }
  if (link.macAddress !== uplink.macAddress) {
    const command = `link set dev ${link.name} address ${uplink.macAddress}`;
    found.push(difference(`${link.name}: has MAC ${link.macAddress}`, command));
  }
  if (misnamed) {
    const command = `link set dev ${link.name} name ${uplink.name}`;
    found.push(difference(`${link.name}: is not named ${uplink.name}`, command));
  }
  return found;
}

function bridgeDifferences(observed: Observed, bridge: PlannedBridge, mtu: number): readonly Difference[] {
  const link = find(observed, bridge.name);
  const found: Difference[] = [];
  if (link === undefined) {
    // No delay before forwarding, and no multicast snooping: there is nothing to learn about one guest.
    const command =
      `link add name ${bridge.name} address ${bridge.macAddress} mtu ${mtu} ` +
      "type bridge forward_delay 0 stp_state 0 mcast_snooping 0";
    found.push(difference(`${bridge.name}: is not there`, command));
  } else {
    found.push(...attributeDifferences(link, bridge.macAddress, mtu));
  }
  if (bridge.address !== undefined && !link?.addresses.some(({ cidr }) => cidr === bridge.address)) {
    const command = `address add ${bridge.address} dev ${bridge.name}`;
    found.push(difference(`${bridge.name}: lacks ${bridge.address}`, command));
  }
  for (const address of bridge.addresses6 ?? []) {
    if (link?.addresses.some(({ cidr }) => cidr === address)) continue;
    // Nobody else is on this link who could have it.
    const command = `address add ${address} dev ${bridge.name} nodad`;
    found.push(difference(`${bridge.name}: lacks ${address}`, command));
  }
  return found;
}

function attributeDifferences(link: ObservedLink, macAddress: string, mtu: number): readonly Difference[] {
  const found: Difference[] = [];
  if (link.macAddress !== macAddress) {
    const command = `link set dev ${link.name} address ${macAddress}`;
    found.push(difference(`${link.name}: has MAC ${link.macAddress}`, command));
  }
  if (link.mtu !== mtu) {
    found.push(difference(`${link.name}: has MTU ${link.mtu}`, `link set dev ${link.name} mtu ${mtu}`));
  }
  return found;
}

/**
 * A link of type bridge that is never up: unlike `dummy`, the kernel is known to have it, because the guest's own
 * bridge is one too.
 */
function placeholderDifferences(observed: Observed, plan: InterfacePlan): readonly Difference[] {
  const { placeholder, mtu } = plan;
  if (placeholder === undefined) return [];
  const link = observed.links.find(({ name, index }) => name === placeholder.name && index !== plan.podLink);
  const found: Difference[] = [];
  if (link === undefined) {
    const command = `link add name ${placeholder.name} address ${placeholder.macAddress} mtu ${mtu} type bridge`;
    found.push(difference(`${placeholder.name}: the placeholder is not there`, command));
  } else {
    found.push(...attributeDifferences(link, placeholder.macAddress, mtu));
    if (link.isUp) {
      found.push(difference(`${placeholder.name}: is up`, `link set dev ${placeholder.name} down`));
    }
  }
  return [
    ...found,
    ...placeholder.addresses.flatMap((cidr) => addressDifferences(observed, placeholder, link, cidr)),
  ];
}

/**
 * The kernel makes a local route for an IPv4 address even on a link that is down. It would win over the route to the
 * guest, and the bridge would answer ARP for the guest with its own MAC.
 */
function addressDifferences(
  observed: Observed,
  { name }: PlannedPlaceholder,
  link: ObservedLink | undefined,
  cidr: string,
): readonly Difference[] {
  const isIpv6 = cidr.includes(":");
  const address = cidr.slice(0, cidr.indexOf("/"));
  const removal = isIpv6 ? [] : [`route del local ${address} dev ${name} table local`];
  if (link?.addresses.some((present) => present.cidr === cidr) !== true) {
    const addition = `address add ${cidr} dev ${name}${isIpv6 ? " nodad" : ""}`;
    return [difference(`${name}: lacks ${cidr}`, addition, ...removal)];
  }
  // A route of the same address on the pod's interface, which stands under this name before it is renamed, is not it.
  const hasLocalRoute = observed.routes.some(
    (route) => route.table === "local" && route.device === name && route.destination === `${address}/32`,
  );
  return hasLocalRoute && !isIpv6
    ? [difference(`${name}: ${address} is routed to the launcher itself`, ...removal)]
    : [];
}

function tapDifferences(observed: Observed, planned: PlannedTap, mtu: number): readonly Difference[] {
  const { name, user, multiQueue } = planned;
  const link = find(observed, name);
  // Without an owner, any process with the device node could attach to it.
  const creation =
    `tuntap add dev ${name} mode tap user ${user} group ${user} vnet_hdr` +
    `${multiQueue ? " multi_queue" : ""}`;
  const size = `link set dev ${name} mtu ${mtu}`;
  if (link === undefined) return [difference(`${name}: is not there`, creation, size)];
  const { tap } = link;
  // Whoever attaches may drop vnet_hdr again, which is no reason to take the tap from under a guest.
  if (tap === undefined || !tap.hasOwner || tap.multiQueue !== multiQueue) {
    const recreation = [`link del dev ${name}`, creation, size];
    return [difference(`${name}: is not a tap with an owner and the planned queues`, ...recreation)];
  }
  return link.mtu === mtu ? [] : [difference(`${name}: has MTU ${link.mtu}`, size)];
}

/** Uplink and tap become ports of the bridge. */
function portDifferences(
  observed: Observed,
  plan: InterfacePlan,
  podLink: ObservedLink,
): readonly Difference[] {
  const { bridge, tap, uplink } = plan;
  const tapIsNew = tapDifferences(observed, tap, plan.mtu).some(({ commands }) => commands.length > 1);
  const tapLink = tapIsNew ? undefined : find(observed, tap.name);
  const found: Difference[] = [];
  const links: readonly (readonly [string, ObservedLink | undefined])[] = [
    [bridge.name, find(observed, bridge.name)],
    ...(uplink === undefined ? [] : [[uplink.name, podLink] as const]),
    [tap.name, tapLink],
  ];
  for (const [name, link] of links) {
    // Or the link takes an IPv6 address when it comes up, and announces it on the pod network.
    if (link?.addressGenerationOff !== true) {
      const command = `link set dev ${name} addrgenmode none`;
      found.push(difference(`${name}: generates an IPv6 address`, command));
    }
    if (name !== bridge.name && link?.master !== bridge.name) {
      const command = `link set dev ${name} master ${bridge.name}`;
      found.push(difference(`${name}: is no port of ${bridge.name}`, command));
    }
  }
  if (uplink !== undefined && podLink.learning !== false) {
    // Whatever comes in over the uplink is for the guest; nothing is learnt from outside that could divert its frames.
    const command = `link set dev ${uplink.name} type bridge_slave learning off`;
    found.push(difference(`${uplink.name}: learns addresses`, command));
  }
  if (uplink?.proxyArp === true && podLink.proxyArp !== true) {
    // Not proxy_arp: a port with that is sent no broadcasts.
    const command = `link set dev ${uplink.name} type bridge_slave proxy_arp_wifi on`;
    found.push(difference(`${uplink.name}: has no proxy for ARP`, command));
  }
  return found;
}

function upDifferences(
  observed: Observed,
  plan: InterfacePlan,
  podLink: ObservedLink,
): readonly Difference[] {
  const { bridge, tap, uplink } = plan;
  const tapIsNew = tapDifferences(observed, tap, plan.mtu).some(({ commands }) => commands.length > 1);
  // Taken down above to be renamed.
  const podLinkStays = podLink.name === uplink?.name && podLink.macAddress === uplink.macAddress;
  const states: readonly (readonly [string, boolean])[] = [
    [bridge.name, find(observed, bridge.name)?.isUp === true],
    ...(uplink === undefined ? [] : [[uplink.name, podLinkStays && podLink.isUp] as const]),
    [tap.name, !tapIsNew && find(observed, tap.name)?.isUp === true],
  ];
  return states
    .filter(([, isUp]) => !isUp)
    .map(([name]) => difference(`${name}: is down`, `link set dev ${name} up`));
}

function routeDifferences(observed: Observed, plan: InterfacePlan): readonly Difference[] {
  const found: Difference[] = [];
  for (const { destination, device } of plan.routes) {
    const isThere = observed.routes.some(
      (route) => route.table === "main" && route.device === device && route.destination === destination,
    );
    if (!isThere) {
      found.push(
        difference(`${device}: no route to ${destination}`, `route add ${destination} dev ${device}`),
      );
    }
  }
  for (const { address, device, macAddress } of plan.neighbours) {
    const isThere = observed.neighbours.some(
      (neighbour) =>
        neighbour.address === address && neighbour.device === device && neighbour.macAddress === macAddress,
    );
    if (!isThere) {
      const command = `neighbour replace ${address} lladdr ${macAddress} nud permanent dev ${device}`;
      found.push(difference(`${device}: ${address} has no permanent neighbour`, command));
    }
  }
  return found;
}

/** Entries that a pod's bridges lack. */
export function missingForwarding(
  planned: readonly PlannedForwarding[],
  present: readonly PlannedForwarding[],
): readonly PlannedForwarding[] {
  return planned.filter(
    ({ macAddress, port }) =>
      !present.some((entry) => entry.macAddress === macAddress && entry.port === port),
  );
}
