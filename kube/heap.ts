/** A binary min-heap whose items know their place, so that one can be moved or removed by itself. */
export interface HeapItem {
  /** What the heap orders by; change it only through `update`. */
  dueMs: number;
  /** Index in the heap; kept by the heap; -1 outside. */
  place: number;
}

export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];

  get length(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    item.place = this.#items.length;
    this.#items.push(item);
    this.#up(item);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) {
      this.remove(first);
    }
    return first;
  }

  /** Restores the order after `dueMs` of an item in the heap became `dueMs`. */
  update(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    this.#up(item);
    this.#down(item);
  }

  remove(item: T): void {
    const place = item.place;
    const last = this.#items.pop();
    item.place = -1;
    if (last !== undefined && last !== item) {
      this.#items[place] = last;
      last.place = place;
      this.#up(last);
      this.#down(last);
    }
  }

  #up(item: T): void {
    while (item.place > 0) {
      const parent = this.#items[(item.place - 1) >> 1] as T;
      if (parent.dueMs <= item.dueMs) {
        return;
      }
      this.#swap(parent, item);
    }
  }

  #down(item: T): void {
    for (;;) {
      const left = this.#items[item.place * 2 + 1];
      const right = this.#items[item.place * 2 + 2];
      const child = right !== undefined && left !== undefined && right.dueMs < left.dueMs ? right : left;
      if (child === undefined || child.dueMs >= item.dueMs) {
        return;
      }
      this.#swap(item, child);
    }
  }

  /** @param upper the parent of `lower` */
  #swap(upper: T, lower: T): void {
    const place = upper.place;
    upper.place = lower.place;
    lower.place = place;
    this.#items[upper.place] = upper;
    this.#items[lower.place] = lower;
  }
}
