import { equal, isObject, type Json, type JsonObject } from "./json.ts";
import { Refusal } from "./status.ts";

/** What each field manager applied last, without its identity. Lists are atomic, as in a CRD without list types. */
export type Appliers = Map<string, JsonObject>;

/**
 * Server-side apply: the object with the manager's fields made as it wants them, those it no longer names removed.
 * @throws Refusal 409 when another manager applied another value and `force` is false
 */
export function serverSideApply(
  stored: JsonObject,
  wanted: JsonObject,
  manager: string,
  force: boolean,
  appliers: Appliers,
): JsonObject {
  const leaves = leavesOf(wanted);
  for (const [other, applied] of appliers) {
    const contested = [...leavesOf(applied)].filter(([path, value]) => {
      const ours = leaves.get(path);
      return other !== manager && ours !== undefined && !equal(ours, value);
    });
    if (contested.length > 0 && !force) {
      throw new Refusal(
        409,
        "Conflict",
        `Apply failed with ${contested.length} conflict: conflict with "${other}"`,
        contested.map(([path]) => ({
          reason: "FieldManagerConflict",
          field: `.${path.replaceAll("\0", ".")}`,
        })),
      );
    }
    for (const [path] of contested) {
      removeAt(applied, path);
    }
  }
  const result = structuredClone(stored);
  const others = new Set(
    [...appliers].filter(([name]) => name !== manager).flatMap(([, a]) => [...leavesOf(a).keys()]),
  );
  for (const path of leavesOf(appliers.get(manager) ?? {}).keys()) {
    if (!leaves.has(path) && !others.has(path)) {
      removeAt(result, path);
    }
  }
  for (const [path, value] of leaves) {
    writeAt(result, path, structuredClone(value));
  }
  appliers.set(manager, structuredClone(wanted));
  return result;
}

/** Values by path; the parts of a path are joined by NUL, because labels have dots in their names. */
function leavesOf(value: JsonObject, prefix = ""): Map<string, Json> {
  const leaves = new Map<string, Json>();
  for (const [name, child] of Object.entries(value)) {
    const path = prefix === "" ? name : `${prefix}\0${name}`;
    if (isObject(child) && Object.keys(child).length > 0) {
      for (const [childPath, leaf] of leavesOf(child, path)) {
        leaves.set(childPath, leaf);
      }
    } else {
      leaves.set(path, child);
    }
  }
  return leaves;
}

function writeAt(object: JsonObject, path: string, value: Json): void {
  const [first = "", ...rest] = path.split("\0");
  if (rest.length === 0) {
    object[first] = value;
    return;
  }
  const child = object[first];
  const next = isObject(child) ? child : {};
  object[first] = next;
  writeAt(next, rest.join("\0"), value);
}

function removeAt(object: JsonObject, path: string): void {
  const [first = "", ...rest] = path.split("\0");
  const child = object[first];
  if (rest.length === 0) {
    delete object[first];
  } else if (isObject(child)) {
    removeAt(child, rest.join("\0"));
    if (Object.keys(child).length === 0) {
      delete object[first];
    }
  }
}
