/** Paths of the aggregated API: discovery documents, the version, and subresources of VMs and VMIs. */
import { VERSION } from "../../api/version.ts";
import { EXPAND_SPEC_RESOURCE, rootRefusal, SERVED, type Served } from "./catalog.ts";
import { StatusError } from "./status.ts";

export const SUBRESOURCES_VERSION = "v1";

export interface SubresourcePath {
  /** KubeVirt's or our own. */
  readonly group: string;
  readonly namespace: string;
  readonly resource: "virtualmachines" | "virtualmachineinstances" | typeof EXPAND_SPEC_RESOURCE;
  /** Empty for what is asked for by namespace. */
  readonly name: string;
  /** E.g. `console`; empty for what is asked for by namespace. */
  readonly subresource: string;
  /** What follows it and is no part of its name: the port and the protocol to forward. */
  readonly parameters?: readonly string[];
  readonly query?: URLSearchParams;
}

/** undefined for anything that is no subresource of a VM or VMI. */
export function parseSubresourcePath(pathname: string): SubresourcePath | undefined {
  const group = Object.keys(SERVED).find((one) => pathname.startsWith(`${versionPath(one)}/namespaces/`));
  if (group === undefined) return undefined;
  const segments = pathname
    .slice(`${versionPath(group)}/namespaces/`.length)
    .split("/")
    .map(decodeSegment);
  if (segments.some((segment) => segment === "")) return undefined;
  const [namespace = "", resource, name, ...rest] = segments;
  if (resource === EXPAND_SPEC_RESOURCE && name === undefined) {
    return { group, namespace, resource, name: "", subresource: "" };
  }
  if (resource !== "virtualmachines" && resource !== "virtualmachineinstances") return undefined;
  if (name === undefined || rest.length === 0) return undefined;
  const place = { group, namespace, resource, name } as const;
  // Port and protocol are not subject to RBAC; the API server's own check ends at the subresource as well.
  if (rest[0] === "portforward") return { ...place, subresource: rest[0], parameters: rest.slice(1) };
  return { ...place, subresource: rest.join("/") };
}

/** As discovery and RBAC know it. */
export function nameOf({ resource, subresource }: SubresourcePath): string {
  return subresource === "" ? resource : `${resource}/${subresource}`;
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

/**
 * What every authenticated caller may read: discovery, which kubectl and the API server's availability check ask
 * for, and the version; undefined for anything else.
 * @throws StatusError MethodNotAllowed for what KubeVirt has there and virtpod has not
 */
export function document(pathname: string): unknown {
  for (const [group, served] of Object.entries(SERVED)) {
    if (pathname === groupPath(group)) return apiGroup(group);
    if (pathname === versionPath(group)) return apiResources(group, served);
    if (!pathname.startsWith(`${versionPath(group)}/`)) continue;
    const name = pathname.slice(versionPath(group).length + 1);
    if (name === "version") return versionInfo();
    const why = rootRefusal(group, name);
    if (why !== undefined) throw new StatusError("MethodNotAllowed", why);
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
    resources: served.map(({ name, kind, verb }) => ({
      name,
      singularName: "",
      namespaced: true,
      kind,
      verbs: [verb],
    })),
  };
}

/** The shape of Kubernetes' version.Info, whose readers want all of its fields; no Go was at work here. */
function versionInfo(): unknown {
  return {
    gitVersion: `v${VERSION}`,
    gitCommit: "",
    gitTreeState: "",
    buildDate: "",
    goVersion: "",
    compiler: `node ${process.version}`,
    platform: `${process.platform}/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}
