import { type Listed, ReadyList } from "./ready-list.ts";

/** Ready keys: higher priorities first, and within one first come first served. */
export class ReadyKeys<T extends Listed<T> & { priority: number }> {
  /** One list per priority ever used, highest first. */
  readonly #lists: ReadyList<T>[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(entry: T): void {
    this.#list(entry.priority).push(entry);
    this.#length += 1;
  }

  /** Takes the first; undefined when there is none. */
  shift(): T | undefined {
    for (const list of this.#lists) {
      const entry = list.first;
      if (entry !== undefined) {
        list.remove(entry);
        this.#length -= 1;
        return entry;
      }
    }
    return undefined;
  }

  /** Moves a ready entry to the end of another priority. */
  move(entry: T, priority: number): void {
    entry.ready?.remove(entry);
    entry.priority = priority;
    this.#list(priority).push(entry);
  }

  /** How many are ready, by priority. */
  depth(): Map<number, number> {
    return new Map(this.#lists.map((list) => [list.priority, list.length]));
  }

  #list(priority: number): ReadyList<T> {
    for (const list of this.#lists) {
      if (list.priority === priority) {
        return list;
      }
    }
    const list = new ReadyList<T>(priority);
    this.#lists.push(list);
    this.#lists.sort((a, b) => b.priority - a.priority);
    return list;
  }
}
