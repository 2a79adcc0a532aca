/** A guest's network as text for a terminal. Pure. */
import type { InterfacePath, LeaseState, NetworkPath, Traffic } from "../api/network-path.ts";
import { columns, printable, size } from "./table.ts";

/** Ends with a line break. */
export function networkTable({ differences, dhcpCounters, interfaces }: NetworkPath): string {
  const blocks = interfaces.map(interfaceLines);
  if (blocks.length === 0) blocks.push(["The machine has no network interface."]);
  const dhcp = Object.entries(dhcpCounters).sort(([a], [b]) => a.localeCompare(b));
  if (dhcp.length > 0)
    blocks.push([`DHCP messages: ${dhcp.map(([what, count]) => `${what} ${count}`).join(", ")}`]);
  if (differences.length > 0) {
    blocks.push(["Not as it was made:", ...differences.map((sentence) => `  ${sentence}`)]);
  }
  return `${blocks.map((lines) => lines.map(printable).join("\n")).join("\n\n")}\n`;
}

function interfaceLines(one: InterfacePath): readonly string[] {
  const { binding, dropped, guestMacAddress, lease, links, name } = one;
  const met = dropped.filter(({ packets }) => packets > 0);
  return [
    `Interface ${name}, ${binding} binding, guest's MAC ${guestMacAddress}`,
    leaseLine(lease),
    "",
    ...columns([
      ["LINK", "STATE", "MTU", "MAC", "ADDRESSES", "FROM GUEST", "TO GUEST"],
      ...links.map((link) => [
        link.name,
        link.isUp ? "up" : "down",
        String(link.mtu),
        link.macAddress,
        link.addresses.join(",") || "-",
        traffic(link.fromGuest),
        traffic(link.toGuest),
      ]),
    ]),
    "",
    ...(met.length === 0
      ? [`The guard has dropped nothing (${dropped.length} rules).`]
      : columns([
          ["DROPPED BY", "RULE", "PACKETS", "BYTES"],
          ...met.map(({ bytes, chain, packets, rule }) => [chain, rule, String(packets), String(bytes)]),
        ])),
  ];
}

function leaseLine(lease: LeaseState | undefined): string {
  if (lease === undefined) return "No DHCP is served.";
  const { acknowledged, address, dnsServers, leaseSeconds, router } = lease;
  return [
    `Lease ${address}`,
    router === undefined ? "no router" : `router ${router}`,
    dnsServers.length === 0 ? "no DNS" : `DNS ${dnsServers.join(" ")}`,
    `for ${leaseSeconds} s`,
    acknowledged === undefined ? "not taken yet" : `last given ${acknowledged}`,
  ].join(", ");
}

function traffic({ bytes, dropped, packets }: Traffic): string {
  const lost = dropped === 0 ? "" : ` (${dropped} dropped)`;
  return `${packets} / ${size(bytes)}${lost}`;
}
