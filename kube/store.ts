import { type KubeObject, keyOf } from "./objects.ts";

/** The values under which an object is found in one index: its node, its owners' UIDs … */
export type Indexer<T> = (object: T) => readonly string[];

/** Reads from a cache. Objects are shared: change a copy. */
export interface Lister<T extends KubeObject> {
  /** @param key `namespace/name`, or `name` */
  get(key: string): T | undefined;
  list(): T[];
  /**
   * Objects that the index has under `value`.
   * @throws RangeError when there is no such index
   */
  byIndex(index: string, value: string): T[];
  readonly size: number;
}

/** Keys by index value. Most values have one key, and a Set for each would outweigh the keys. */
class Index<T> {
  readonly indexer: Indexer<T>;
  readonly #keys = new Map<string, string | Set<string>>();

  constructor(indexer: Indexer<T>) {
    this.indexer = indexer;
  }

  keys(value: string): Iterable<string> {
    const keys = this.#keys.get(value);
    return keys === undefined ? [] : typeof keys === "string" ? [keys] : keys;
  }

  add(value: string, key: string): void {
    const keys = this.#keys.get(value);
    if (keys === undefined) {
      this.#keys.set(value, key);
    } else if (typeof keys === "string") {
      if (keys !== key) {
        this.#keys.set(value, new Set([keys, key]));
      }
    } else {
      keys.add(key);
    }
  }

  delete(value: string, key: string): void {
    const keys = this.#keys.get(value);
    if (keys === key) {
      this.#keys.delete(value);
    } else if (keys instanceof Set) {
      keys.delete(key);
      const [last] = keys;
      if (keys.size === 1 && last !== undefined) {
        this.#keys.set(value, last);
      }
    }
  }
}

/** Objects by key, with indexes. */
export class Store<T extends KubeObject> implements Lister<T> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<string, Index<T>>();

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    for (const [name, indexer] of Object.entries(indexers)) {
      this.#indexes.set(name, new Index(indexer));
    }
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) {
      throw new RangeError(`no index ${name}; there are: ${[...this.#indexes.keys()].join(", ") || "none"}`);
    }
    const objects: T[] = [];
    for (const key of index.keys(value)) {
      const object = this.#objects.get(key);
      if (object !== undefined) {
        objects.push(object);
      }
    }
    return objects;
  }

  /** Adds or replaces; returns what was there. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      const values = index.indexer(object);
      for (const value of previous === undefined ? [] : index.indexer(previous)) {
        if (!values.includes(value)) {
          index.delete(value, key);
        }
      }
      for (const value of values) {
        index.add(value, key);
      }
    }
    return previous;
  }

  /** Removes; returns what was there. */
  delete(key: string): T | undefined {
    const previous = this.#objects.get(key);
    if (previous !== undefined) {
      this.#objects.delete(key);
      for (const index of this.#indexes.values()) {
        for (const value of index.indexer(previous)) {
          index.delete(value, key);
        }
      }
    }
    return previous;
  }
}
