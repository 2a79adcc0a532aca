/** A request to the API server as audit logs know it: verb, resource, name. Pure. */

export type Verb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "patch"
  | "delete"
  | "deletecollection"
  | "other";

export interface Exchange {
  readonly verb: Verb;
  /** "" for the core group, and for paths that name no resource. */
  readonly group: string;
  /** Plural, with its subresource as RBAC writes it: `virtualmachines/status`. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The JSON sent, if any. */
  readonly body: unknown;
  /** Address of the client. */
  readonly client: string;
}

const WRITES: readonly Verb[] = ["create", "update", "patch", "delete", "deletecollection"];
/** Created to be answered; nothing is stored. */
const REVIEWS: readonly string[] = ["tokenreviews", "subjectaccessreviews"];
/** Of a namespace itself, not of something in it. */
const NAMESPACE_SUBRESOURCES: readonly string[] = ["status", "finalize"];

export function parseExchange(method: string, url: string, body: unknown, client: string): Exchange {
  const { pathname, searchParams: query } = new URL(url, "http://proxy");
  const place = parsePath(pathname);
  const named = place.name ?? (body as { metadata?: { name?: string } } | undefined)?.metadata?.name;
  return {
    ...place,
    verb: verbOf(method, place.name !== undefined, query),
    name: method === "POST" ? named : place.name,
    path: pathname,
    query,
    body,
    client,
  };
}

/** True for what changes the cluster's state. */
export function isWrite({ verb, resource }: Exchange): boolean {
  return WRITES.includes(verb) && !REVIEWS.includes(resource);
}

/** True for a read of a whole collection, by list or by watch. */
export function isCollectionRead({ verb }: Exchange): boolean {
  return verb === "list" || verb === "watch";
}

/** `patch virtualmachines virtpod/vm-a`, as messages name it. */
export function describeExchange({ verb, resource, namespace, name }: Exchange): string {
  const object = [namespace, name].filter((part) => part !== undefined).join("/");
  return `${verb} ${resource}${object === "" ? "" : ` ${object}`}`;
}

function parsePath(path: string): Pick<Exchange, "group" | "resource" | "namespace" | "name"> {
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const isCore = parts[0] === "api";
  const rest = parts.slice(isCore ? 2 : 3);
  const group = isCore ? "" : (parts[1] ?? "");
  const isNamespaced =
    rest[0] === "namespaces" && rest[2] !== undefined && !NAMESPACE_SUBRESOURCES.includes(rest[2]);
  const namespace = isNamespaced ? rest[1] : undefined;
  const [resource = "", name, ...subresource] = isNamespaced ? rest.slice(2) : rest;
  return { group, resource: [resource, ...subresource].join("/"), namespace, name };
}

function verbOf(method: string, isNamed: boolean, query: URLSearchParams): Verb {
  switch (method) {
    case "GET":
      if (query.get("watch") === "true") return "watch";
      return isNamed ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return isNamed ? "delete" : "deletecollection";
    default:
      return "other";
  }
}
