import { equal, isObject, type Json, type JsonObject } from "./json.ts";
import { Refusal } from "./status.ts";

/** Fields that the server fills in: nobody owns them. */
const UNOWNED = new Set([
  "apiVersion",
  "kind",
  ...[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ].map((name) => `metadata\0${name}`),
]);

/** Who writes: a manager's applies, updates and writes to a subresource are held apart. */
export interface Writer {
  readonly manager: string;
  readonly subresource: string;
}

type Owned = Map<string, Set<string>>;

/**
 * Which manager owns which fields of each object, as managedFields tell it.
 * Lists are atomic, as in a CRD without list types.
 */
export class FieldOwners {
  readonly #byUid = new Map<string, Owned>();

  /** Gives a plain write's changes to its writer, and takes what it removed from everybody. */
  wrote(uid: string, before: JsonObject, after: JsonObject, writer: Writer): void {
    const owned = this.#owned(uid);
    const [old, now] = [leavesOf(before), leavesOf(after)];
    const changed = [...now].filter(([path, value]) => !UNOWNED.has(path) && !equal(old.get(path), value));
    for (const path of [...changed.map(([path]) => path), ...[...old.keys()].filter((at) => !now.has(at))]) {
      disown(owned, path);
    }
    own(
      owned,
      identity("Update", writer),
      changed.map(([path]) => path),
    );
  }

  /**
   * Server-side apply: the object with the manager's fields as it wants them, those removed that it owned alone
   * and no longer names.
   * @throws Refusal 409 when another manager owns a field that has another value and `force` is false
   */
  apply(
    uid: string,
    stored: JsonObject,
    wanted: JsonObject,
    writer: Writer,
    options: { readonly force: boolean; readonly isDryRun: boolean },
  ): JsonObject {
    const kept = this.#owned(uid);
    const owned: Owned = options.isDryRun
      ? new Map([...kept].map(([manager, paths]) => [manager, new Set(paths)]))
      : kept;
    const self = identity("Apply", writer);
    const [present, leaves] = [leavesOf(stored), leavesOf(wanted)];
    const contested = [...leaves].filter(
      ([path, value]) =>
        !equal(present.get(path), value) &&
        [...owned].some(([manager, paths]) => manager !== self && paths.has(path)),
    );
    if (contested.length > 0 && !options.force) {
      throw new Refusal(
        409,
        "Conflict",
        `Apply failed with ${contested.length} conflict(s)`,
        contested.map(([path]) => ({
          reason: "FieldManagerConflict",
          field: `.${path.replaceAll("\0", ".")}`,
        })),
      );
    }
    for (const [path] of contested) {
      disown(owned, path);
    }
    const dropped = [...(owned.get(self) ?? [])].filter((path) => !leaves.has(path));
    owned.delete(self);
    const paths = [...leaves.keys()].filter((path) => !UNOWNED.has(path));
    own(owned, self, paths);
    const result = structuredClone(stored);
    for (const path of dropped) {
      if (![...owned.values()].some((others) => others.has(path))) {
        removeAt(result, path);
      }
    }
    for (const path of paths) {
      writeAt(result, path, structuredClone(leaves.get(path) ?? null));
    }
    return result;
  }

  #owned(uid: string): Owned {
    const owned = this.#byUid.get(uid) ?? new Map<string, Set<string>>();
    this.#byUid.set(uid, owned);
    return owned;
  }
}

function identity(operation: "Apply" | "Update", { manager, subresource }: Writer): string {
  return `${operation}/${subresource}/${manager}`;
}

function own(owned: Owned, manager: string, paths: readonly string[]): void {
  const own = owned.get(manager) ?? new Set();
  owned.set(manager, own);
  for (const path of paths) {
    own.add(path);
  }
}

function disown(owned: Owned, path: string): void {
  for (const paths of owned.values()) {
    paths.delete(path);
  }
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
  const child = object[first];
  if (rest.length === 0) {
    // An empty map says that there is one, not that it is empty.
    object[first] = isObject(value) && isObject(child) ? child : value;
    return;
  }
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
