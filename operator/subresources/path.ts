/** Paths of the aggregated API: discovery documents and subresources of VMs and VMIs. */
import { OWN_SUBRESOURCES_GROUP, SUBRESOURCES_GROUP } from "../../api/names.ts";

export const SUBRESOURCES_VERSION = "v1";

export interface SubresourcePath {
  /** KubeVirt's or our own. */
  readonly group: string;
  readonly namespace: string;
  readonly resource: "virtualmachines" | "virtualmachineinstances";
  readonly name: string;
  /** E.g. `console`. */
  readonly subresource: string;
}

/** undefined for anything that is no subresource of a VM or VMI. */
export function parseSubresourcePath(pathname: string): SubresourcePath | undefined {
  const group = Object.keys(SERVED).find((one) => pathname.startsWith(`${versionPath(one)}/namespaces/`));
  if (group === undefined) return undefined;
  const segments = pathname
    .slice(`${versionPath(group)}/namespaces/`.length)
    .split("/")
    .map(decodeSegment);
  const [namespace, resource, name, ...rest] = segments;
  if (resource !== "virtualmachines" && resource !== "virtualmachineinstances") return undefined;
  if (!namespace || !name || rest.length === 0 || rest.some((segment) => segment === "")) return undefined;
  return { group, namespace, resource, name, subresource: rest.join("/") };
}

function groupPath(group: string): string {
  return `/apis/${group}`;
}

function versionPath(group: string): string {
  return `${groupPath(group)}/${SUBRESOURCES_VERSION}`;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}

interface Served {
  /** Resource and subresource. */
  readonly name: `${SubresourcePath["resource"]}/${string}`;
  /** That RBAC knows it by. */
  readonly verb: "get" | "update";
}

/** By group. */
const SERVED: Readonly<Record<string, readonly Served[]>> = {
  [SUBRESOURCES_GROUP]: [
    { name: "virtualmachineinstances/console", verb: "get" },
    { name: "virtualmachineinstances/vnc", verb: "get" },
    { name: "virtualmachineinstances/guestosinfo", verb: "get" },
    { name: "virtualmachineinstances/userlist", verb: "get" },
    { name: "virtualmachineinstances/filesystemlist", verb: "get" },
    { name: "virtualmachineinstances/freeze", verb: "update" },
    { name: "virtualmachineinstances/unfreeze", verb: "update" },
    { name: "virtualmachineinstances/pause", verb: "update" },
    { name: "virtualmachineinstances/unpause", verb: "update" },
    { name: "virtualmachineinstances/reset", verb: "update" },
    { name: "virtualmachineinstances/softreboot", verb: "update" },
    { name: "virtualmachines/start", verb: "update" },
    { name: "virtualmachines/stop", verb: "update" },
    { name: "virtualmachines/restart", verb: "update" },
  ],
  [OWN_SUBRESOURCES_GROUP]: [{ name: "virtualmachineinstances/network", verb: "get" }],
};

/** Discovery of what is served: kubectl and the API server's availability check read these. */
export function discovery(pathname: string): unknown {
  for (const [group, served] of Object.entries(SERVED)) {
    if (pathname === groupPath(group)) return apiGroup(group);
    if (pathname === versionPath(group)) return apiResources(group, served);
  }
  return undefined;
}

function apiGroup(name: string): unknown {
  const version = { groupVersion: `${name}/${SUBRESOURCES_VERSION}`, version: SUBRESOURCES_VERSION };
  return { kind: "APIGroup", apiVersion: "v1", name, versions: [version], preferredVersion: version };
}

function apiResources(group: string, served: readonly Served[]): unknown {
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: `${group}/${SUBRESOURCES_VERSION}`,
    resources: served.map(({ name, verb }) => ({
      name,
      singularName: "",
      namespaced: true,
      kind: name.startsWith("virtualmachines/") ? "VirtualMachine" : "VirtualMachineInstance",
      verbs: [verb],
    })),
  };
}
