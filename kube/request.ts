import type { KubeObject, ResourceDescriptor } from "./objects.ts";

/** Options of every request. */
export interface RequestOptions {
  /** Deadline of the whole request, retries included; 30 s unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface GetOptions extends RequestOptions {
  /** "0" allows an answer from the API server's cache, however old. */
  readonly resourceVersion?: string;
}

export interface ListOptions extends RequestOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects per page. */
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
}

/** One page of a list. `continueToken` is undefined on the last. */
export interface List<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  readonly continueToken: string | undefined;
  readonly remainingItemCount: number | undefined;
}

export interface WatchOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "NotOlderThan";
  readonly allowBookmarks?: boolean;
  /** Streams the present objects first, ended by a bookmark (KEP-3157). */
  readonly sendInitialEvents?: boolean;
  /** The server ends the watch after this. */
  readonly timeoutSeconds?: number;
  /** Longest silence before the watch is taken for dead. */
  readonly silenceTimeoutMs?: number;
  /** Deadline of the answer's head. */
  readonly headersTimeoutMs?: number;
  /** Longest line in bytes. */
  readonly maxLineBytes?: number;
  readonly signal: AbortSignal;
  /** Called when the server has accepted the watch, before its first event. */
  readonly onOpen?: () => void;
}

/** Changes of one kind. An ERROR line becomes a thrown error. */
export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

export interface WriteOptions extends RequestOptions {
  /** Runs admission and validation and stores nothing. */
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** What the server does about unknown fields; it warns unless told. */
  readonly fieldValidation?: "Ignore" | "Warn" | "Strict";
  /** "status", "scale", "resize" …; the object itself unless told. */
  readonly subresource?: string;
}

export interface ApplyOptions extends WriteOptions {
  readonly fieldManager: string;
  /** Takes over fields that others own. */
  readonly force?: boolean;
}

export interface DeleteOptions extends RequestOptions {
  readonly dryRun?: boolean;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  /** The delete fails with Conflict unless the object still has these. */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** RFC 6902, the operations that the API server knows. */
export type JsonPatchOperation =
  | { readonly op: "add" | "replace" | "test"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }
  | { readonly op: "move" | "copy"; readonly from: string; readonly path: string };

export type Patch =
  /** RFC 7386: null removes, arrays are replaced whole. */
  | { readonly type: "merge"; readonly body: object }
  | { readonly type: "json"; readonly operations: readonly JsonPatchOperation[] }
  /** Only for built-in kinds. */
  | { readonly type: "strategic"; readonly body: object };

export const mergePatch = (body: object): Patch => ({ type: "merge", body });
export const jsonPatch = (...operations: readonly JsonPatchOperation[]): Patch => ({
  type: "json",
  operations,
});

/** Path of a collection, or of one object with `name`, or of its subresource. */
export function resourcePath(
  descriptor: ResourceDescriptor<KubeObject>,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const { group, version, plural } = descriptor;
  const parts = group === "" ? ["api", version] : ["apis", group, version];
  if (namespace !== undefined && descriptor.namespaced) {
    parts.push("namespaces", namespace);
  }
  parts.push(plural);
  if (name !== undefined) {
    parts.push(name);
  }
  if (subresource !== undefined) {
    parts.push(...subresource.split("/"));
  }
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** A query string with its question mark, or "" when no value is set. */
export function queryString(values: {
  readonly [name: string]: string | number | boolean | undefined;
}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) {
      query.set(name, String(value));
    }
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
