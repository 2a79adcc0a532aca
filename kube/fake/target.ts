/** What a request is about, by its path. */
import { Refusal } from "./status.ts";
import type { Collection, Storage } from "./storage.ts";

export interface Target {
  readonly collection: Collection;
  readonly namespace: string | undefined;
  /** Undefined for the collection itself. */
  readonly name: string | undefined;
  /** "" for the object itself. */
  readonly subresource: string;
}

/** @throws Refusal 404 for a kind that is not served */
export function targetOf(path: string, storage: Storage): Target {
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  const [root, ...rest] = parts;
  const group = root === "apis" ? (rest.shift() ?? "") : "";
  const version = rest.shift() ?? "";
  // A namespace itself is /namespaces/name; what is in one is /namespaces/name/plural.
  const namespace = rest[0] === "namespaces" && rest.length > 2 ? rest.splice(0, 2)[1] : undefined;
  const [plural = "", name, ...subresource] = rest;
  const collection = storage.find(group, version, plural);
  if ((root !== "api" && root !== "apis") || collection === undefined) {
    throw new Refusal(404, "NotFound", "the server could not find the requested resource");
  }
  return { collection, namespace, name, subresource: subresource.join("/") };
}
