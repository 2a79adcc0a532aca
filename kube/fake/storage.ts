import { type KubeObject, type ObjectMeta, type ResourceDescriptor, resourceName } from "../objects.ts";
import type { Json } from "./json.ts";

/** An object as it is kept: frozen in use, replaced whole. */
export interface Stored {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: Json;
  readonly status?: Json;
  readonly [field: string]: unknown;
}

export interface Change {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly version: number;
  readonly object: Stored;
  /** What was there before; a selector may have matched that and not this. */
  readonly previous: Stored | undefined;
}

/** What etcd's backup holds. */
export interface Snapshot {
  readonly version: number;
  readonly objects: ReadonlyMap<string, ReadonlyMap<string, Stored>>;
}

/** One kind: its objects, and its changes since the last compaction. */
export class Collection {
  readonly descriptor: ResourceDescriptor<KubeObject>;
  readonly objects = new Map<string, Stored>();
  readonly changes: Change[] = [];
  readonly listeners = new Set<(change: Change) => void>();
  /** Changes up to this version are forgotten. */
  compactedVersion = 0;

  constructor(descriptor: ResourceDescriptor<KubeObject>) {
    this.descriptor = descriptor;
  }

  /** Objects of a namespace, or all, in the order of etcd: by key. */
  list(namespace: string | undefined): Stored[] {
    return [...this.objects]
      .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }
}

/** Left out when nothing is in them, as Go's omitempty does. */
const EMPTIED = ["labels", "annotations", "finalizers", "ownerReferences"] as const;

/** What etcd is to the API server: one sequence of versions over all kinds. */
export class Storage {
  readonly #collections = new Map<string, Collection>();
  /** etcd's first revision is 1; a low start would hide comparisons of strings as text. */
  #version = 95;

  get version(): number {
    return this.#version;
  }

  get collections(): Iterable<Collection> {
    return this.#collections.values();
  }

  register(descriptor: ResourceDescriptor<KubeObject>): Collection {
    const collection = new Collection(descriptor);
    this.#collections.set(collectionName(descriptor), collection);
    return collection;
  }

  unregister(descriptor: ResourceDescriptor<KubeObject>): void {
    this.#collections.delete(collectionName(descriptor));
  }

  find(group: string, version: string, plural: string): Collection | undefined {
    return this.#collections.get(collectionName({ group, version, plural }));
  }

  get(descriptor: ResourceDescriptor<KubeObject>): Collection {
    const collection = this.#collections.get(collectionName(descriptor));
    if (collection === undefined) {
      throw new Error(`the fake API server does not serve ${resourceName(descriptor)}; register it`);
    }
    return collection;
  }

  /** Stores an object under a new version; undefined removes it. Returns it as stored or as it was last. */
  write(collection: Collection, key: string, object: Stored): Stored {
    const previous = collection.objects.get(key);
    const stored = this.#stamp(object);
    collection.objects.set(key, stored);
    this.#publish(collection, previous === undefined ? "ADDED" : "MODIFIED", stored, previous);
    return stored;
  }

  remove(collection: Collection, key: string, last: Stored): Stored {
    const previous = collection.objects.get(key);
    const stored = this.#stamp(last);
    collection.objects.delete(key);
    this.#publish(collection, "DELETED", stored, previous);
    return stored;
  }

  /** Forgets the history, so that a watch from before now gets 410. */
  compact(): void {
    this.#version += 1;
    for (const collection of this.#collections.values()) {
      collection.changes.length = 0;
      collection.compactedVersion = this.#version;
    }
  }

  /** Everything as it is now, for `restore`. */
  snapshot(): Snapshot {
    const objects = new Map([...this.#collections].map(([name, one]) => [name, new Map(one.objects)]));
    return { version: this.#version, objects };
  }

  /** Goes back in time, as etcd does from a backup; open watches hear nothing of it. */
  restore({ version, objects }: Snapshot): void {
    this.#version = version;
    for (const [name, collection] of this.#collections) {
      collection.changes.length = 0;
      collection.compactedVersion = Math.min(collection.compactedVersion, version);
      collection.objects.clear();
      for (const [key, object] of objects.get(name) ?? []) {
        collection.objects.set(key, object);
      }
    }
  }

  #stamp(object: Stored): Stored {
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    for (const name of EMPTIED) {
      if (Object.keys(metadata[name] ?? {}).length === 0) {
        delete metadata[name];
      }
    }
    return { ...object, metadata };
  }

  #publish(collection: Collection, type: Change["type"], object: Stored, previous: Stored | undefined): void {
    const change = { type, version: this.#version, object, previous };
    collection.changes.push(change);
    for (const listener of collection.listeners) {
      listener(change);
    }
  }
}

function collectionName({
  group,
  version,
  plural,
}: {
  group: string;
  version: string;
  plural: string;
}): string {
  return `${group}/${version}/${plural}`;
}
