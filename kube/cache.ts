import { LruMap } from "./lru.ts";
import { compareResourceVersions, deepFreeze, type KubeObject, keyOf } from "./objects.ts";
import { type Indexer, type Lister, Store } from "./store.ts";

/** A change of the cache, in the order in which the cache saw it. */
export type Delta<T> =
  | { readonly type: "added"; readonly object: T; readonly isInInitialList: boolean }
  | { readonly type: "updated"; readonly previous: T; readonly object: T }
  /** `isFinalStateKnown` is false for a tombstone: the object vanished unseen and `object` is how we knew it. */
  | { readonly type: "deleted"; readonly object: T; readonly isFinalStateKnown: boolean };

export interface CacheOptions<T> {
  readonly indexers?: Readonly<Record<string, Indexer<T>>>;
  /** Cuts an object down before it is stored. managedFields are always cut. */
  readonly transform?: (object: T) => T;
  /** Deep-freezes what is stored, so that a write to the cache throws. For tests. */
  readonly freeze?: boolean;
}

const MAX_GRAVES = 1024;

/**
 * The objects of one kind as a list and a watch tell them, and what changed by each message.
 * Pure: no clock, no I/O. Replayed, duplicate and outdated messages change nothing.
 */
export class Cache<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #transform: ((object: T) => T) | undefined;
  readonly #freeze: boolean;
  /** Versions of deletes since the last list: an older event that comes after one is a replay, not a new object. */
  readonly #graves = new LruMap<string, string>(MAX_GRAVES);
  #resourceVersion = "";
  /** Version of the last list: what it did not have was not there, whatever a replay says. */
  #listedVersion = "";
  #isFilled = false;
  #restores = 0;

  constructor(options: CacheOptions<T> = {}) {
    this.#store = new Store(options.indexers);
    this.#transform = options.transform;
    this.#freeze = options.freeze ?? false;
  }

  get lister(): Lister<T> {
    return this.#store;
  }

  /** Everything up to this version has been seen. "" before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  /** How often a list went back in time, as after a server's restore: versions from before say nothing any more. */
  get restores(): number {
    return this.#restores;
  }

  /** True once a whole list has been stored. */
  get isFilled(): boolean {
    return this.#isFilled;
  }

  /** What the cache would keep of an object; of value before a list is whole. */
  shrink(object: T): T {
    const slim = withoutManagedFields(object);
    const kept = this.#transform === undefined ? slim : this.#transform(slim);
    return this.#freeze ? deepFreeze(kept) : kept;
  }

  /** Makes the cache equal to a list. `objects` have been through `shrink`. */
  replace(objects: readonly T[], resourceVersion: string): Delta<T>[] {
    const deltas: Delta<T>[] = [];
    const isInInitialList = !this.#isFilled;
    const listed = new Set<string>();
    for (const object of objects) {
      listed.add(keyOf(object));
      this.#put(object, isInInitialList, deltas);
    }
    for (const key of [...this.#store.keys()]) {
      if (!listed.has(key)) {
        const object = this.#store.delete(key) as T;
        deltas.push({ type: "deleted", object, isFinalStateKnown: false });
      }
    }
    if (isOlder(resourceVersion, this.#resourceVersion)) {
      this.#restores += 1;
    }
    this.#graves.clear();
    this.#listedVersion = resourceVersion;
    this.#resourceVersion = resourceVersion;
    this.#isFilled = true;
    return deltas;
  }

  /** Takes in one watch event. */
  apply(type: "ADDED" | "MODIFIED" | "DELETED", raw: T): Delta<T>[] {
    const version = raw.metadata.resourceVersion ?? "";
    const key = keyOf(raw);
    const lastVersion =
      this.#store.get(key)?.metadata.resourceVersion ?? this.#graves.get(key) ?? this.#listedVersion;
    this.advance(version);
    if (isOlder(version, lastVersion)) {
      return [];
    }
    const deltas: Delta<T>[] = [];
    if (type === "DELETED") {
      this.#graves.set(key, version);
      this.#remove(raw, deltas);
    } else {
      this.#put(this.shrink(raw), false, deltas);
    }
    return deltas;
  }

  /** Notes that nothing up to `resourceVersion` is missing, as a bookmark says. */
  advance(resourceVersion: string): void {
    if (isOlder(this.#resourceVersion, resourceVersion)) {
      this.#resourceVersion = resourceVersion;
    }
  }

  #put(object: T, isInInitialList: boolean, deltas: Delta<T>[]): void {
    const known = this.#store.get(keyOf(object));
    if (known === undefined) {
      this.#store.set(object);
      deltas.push({ type: "added", object, isInInitialList });
    } else if (known.metadata.uid !== object.metadata.uid) {
      // Deleted and made anew unseen: another object, although of the same name.
      deltas.push({ type: "deleted", object: known, isFinalStateKnown: false });
      this.#store.set(object);
      deltas.push({ type: "added", object, isInInitialList });
    } else if (known.metadata.resourceVersion !== object.metadata.resourceVersion) {
      this.#store.set(object);
      deltas.push({ type: "updated", previous: known, object });
    }
  }

  #remove(raw: T, deltas: Delta<T>[]): void {
    const known = this.#store.get(keyOf(raw));
    if (known === undefined) {
      return;
    }
    this.#store.delete(keyOf(raw));
    const isSame = known.metadata.uid === raw.metadata.uid;
    deltas.push({ type: "deleted", object: isSame ? this.shrink(raw) : known, isFinalStateKnown: isSame });
  }
}

function isOlder(a: string, b: string): boolean {
  return compareResourceVersions(a, b) < 0;
}

/** A third of a pod's size, and of no use to a reader. Copied, because `delete` would make V8 store it as a hash. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (!("managedFields" in object.metadata)) {
    return object;
  }
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
