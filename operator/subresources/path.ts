/** Paths of the aggregated API: discovery documents and subresources of VMs and VMIs. */
import { SUBRESOURCES_GROUP } from "../../api/names.ts";

export const SUBRESOURCES_VERSION = "v1";
export const GROUP_PATH = `/apis/${SUBRESOURCES_GROUP}`;
export const VERSION_PATH = `${GROUP_PATH}/${SUBRESOURCES_VERSION}`;

export interface SubresourcePath {
  readonly namespace: string;
  readonly resource: "virtualmachines" | "virtualmachineinstances";
  readonly name: string;
  /** E.g. `console`. */
  readonly subresource: string;
}

/** undefined for anything that is no subresource of a VM or VMI. */
export function parseSubresourcePath(pathname: string): SubresourcePath | undefined {
  if (!pathname.startsWith(`${VERSION_PATH}/namespaces/`)) return undefined;
  const segments = pathname.slice(`${VERSION_PATH}/namespaces/`.length).split("/").map(decodeSegment);
  const [namespace, resource, name, ...rest] = segments;
  if (resource !== "virtualmachines" && resource !== "virtualmachineinstances") return undefined;
  if (!namespace || !name || rest.length === 0 || rest.some((segment) => segment === "")) return undefined;
  return { namespace, resource, name, subresource: rest.join("/") };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}

/** What is served of VMIs, and the verb that RBAC knows it by. */
const SERVED: readonly { readonly name: string; readonly verb: "get" | "update" }[] = [
  { name: "console", verb: "get" },
  { name: "vnc", verb: "get" },
  { name: "guestosinfo", verb: "get" },
  { name: "userlist", verb: "get" },
  { name: "filesystemlist", verb: "get" },
  { name: "freeze", verb: "update" },
  { name: "unfreeze", verb: "update" },
];

/** Discovery of what is served: kubectl and the API server's availability check read these. */
export function discovery(pathname: string): unknown {
  if (pathname === GROUP_PATH) {
    const version = {
      groupVersion: `${SUBRESOURCES_GROUP}/${SUBRESOURCES_VERSION}`,
      version: SUBRESOURCES_VERSION,
    };
    return {
      kind: "APIGroup",
      apiVersion: "v1",
      name: SUBRESOURCES_GROUP,
      versions: [version],
      preferredVersion: version,
    };
  }
  if (pathname === VERSION_PATH) {
    return {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: `${SUBRESOURCES_GROUP}/${SUBRESOURCES_VERSION}`,
      resources: SERVED.map(({ name, verb }) => ({
        name: `virtualmachineinstances/${name}`,
        singularName: "",
        namespaced: true,
        kind: "VirtualMachineInstance",
        verbs: [verb],
      })),
    };
  }
  return undefined;
}
