/**
 * Network namespaces for operators outside of the cluster, each joined to the node by a veth pair: agents and the API
 * server reach an operator there as they reach a pod, and it reaches the proxy on this machine.
 */
import { existsSync } from "node:fs";
import { capture } from "../harness/command.ts";

/** Two operators at most, each with a /30 between it and the node. */
const SUBNET = "10.214.1";

export interface OperatorNetwork {
  /** Name of the network namespace. */
  readonly namespace: string;
  /** The operator's address, for agents and the API server. */
  readonly address: string;
}

/** The cluster's node: its network namespace on this machine has its name. */
export interface ClusterNode {
  readonly name: string;
  /** InternalIP. */
  readonly address: string;
}

const ip = (...args: string[]) => capture("ip", args);

export function makeNetwork(index: number, node: ClusterNode): OperatorNetwork {
  removeNetwork(index, node);
  const namespace = namespaceOf(index);
  const link = linkOf(index);
  const gateway = `${SUBNET}.${index * 4 + 1}`;
  const address = `${SUBNET}.${index * 4 + 2}`;
  ip("netns", "add", namespace);
  const peer = ["peer", "name", "eth0", "netns", namespace];
  ip("link", "add", link, "netns", node.name, "type", "veth", ...peer);
  ip("-n", node.name, "address", "add", `${gateway}/30`, "dev", link);
  ip("-n", node.name, "link", "set", link, "up");
  ip("-n", namespace, "address", "add", `${address}/30`, "dev", "eth0");
  for (const device of ["lo", "eth0"]) ip("-n", namespace, "link", "set", device, "up");
  ip("-n", namespace, "route", "add", "default", "via", gateway);
  ip("route", "replace", subnetOf(index), "via", node.address);
  return { namespace, address };
}

/** Succeeds when there is none as well. */
export function removeNetwork(index: number, node: ClusterNode): void {
  if (ip("route", "show", subnetOf(index)) !== "") ip("route", "delete", subnetOf(index));
  const isThere = (JSON.parse(ip("-n", node.name, "-json", "link")) as { ifname: string }[]).some(
    ({ ifname }) => ifname === linkOf(index),
  );
  if (isThere) ip("-n", node.name, "link", "delete", linkOf(index));
  if (existsSync(`/run/netns/${namespaceOf(index)}`)) ip("netns", "delete", namespaceOf(index));
}

const namespaceOf = (index: number) => `virtpod-faults-${index}`;
const linkOf = (index: number) => `vp-faults-${index}`;
const subnetOf = (index: number) => `${SUBNET}.${index * 4}/30`;

/** The address by which the node, and all behind it, reaches this machine. */
export function hostAddress(nodeAddress: string): string {
  const [route] = JSON.parse(ip("-json", "route", "get", nodeAddress)) as { prefsrc?: string }[];
  if (route?.prefsrc === undefined) throw new Error(`this machine has no route to the node ${nodeAddress}`);
  return route.prefsrc;
}
