/** Any JSON value, and RFC 7386 and RFC 6902 on it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) {
    return true;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  }
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length && names.every((name) => name in b && equal(a[name], b[name]))
    );
  }
  return false;
}

/** RFC 7386: null removes, objects merge, all else replaces. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) {
    return patch;
  }
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      delete result[name];
    } else {
      result[name] = applyMergePatch(result[name], value);
    }
  }
  return result;
}

export interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: Json;
}

/**
 * RFC 6902.
 * @throws Error when a path does not exist or a test fails; nothing is changed then
 */
export function applyJsonPatch(target: Json, operations: readonly Operation[]): Json {
  return operations.reduce(
    (document, operation) => applyOperation(document, operation),
    structuredClone(target),
  );
}

function applyOperation(document: Json, operation: Operation): Json {
  const { op, path, from = "", value = null } = operation;
  switch (op) {
    case "add":
      return write(document, path, value, false);
    case "replace":
      read(document, path);
      return write(document, path, value, true);
    case "remove":
      return remove(document, path);
    case "move":
      return write(remove(document, from), path, read(document, from), false);
    case "copy":
      return write(document, path, structuredClone(read(document, from)), false);
    case "test":
      if (!equal(read(document, path), value)) {
        throw new Error(`testing value ${path} failed`);
      }
      return document;
    default:
      throw new Error(`unknown operation ${op}`);
  }
}

/** RFC 6901. */
function tokens(path: string): string[] {
  return path === ""
    ? []
    : path
        .slice(1)
        .split("/")
        .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(document: Json, path: string): Json {
  return tokens(path).reduce<Json>((value, token) => {
    const child = Array.isArray(value) ? value[Number(token)] : isObject(value) ? value[token] : undefined;
    if (child === undefined) {
      throw new Error(`path ${path} does not exist`);
    }
    return child;
  }, document);
}

function write(document: Json, path: string, value: Json, isReplace: boolean): Json {
  const parts = tokens(path);
  const last = parts.pop();
  if (last === undefined) {
    return value;
  }
  const { parent, copy } = parentOf(document, parts, path);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length) {
      throw new Error(`path ${path} does not exist`);
    }
    parent.splice(index, isReplace ? 1 : 0, value);
  } else {
    parent[last] = value;
  }
  return copy;
}

function remove(document: Json, path: string): Json {
  read(document, path);
  const parts = tokens(path);
  const last = parts.pop() ?? "";
  const { parent, copy } = parentOf(document, parts, path);
  if (Array.isArray(parent)) {
    parent.splice(Number(last), 1);
  } else {
    delete parent[last];
  }
  return copy;
}

function parentOf(
  document: Json,
  parts: readonly string[],
  path: string,
): { parent: Json[] | JsonObject; copy: Json } {
  const copy = structuredClone(document);
  const parent = read(
    copy,
    parts.map((part) => `/${part.replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""),
  );
  if (!Array.isArray(parent) && !isObject(parent)) {
    throw new Error(`path ${path} does not exist`);
  }
  return { parent, copy };
}
