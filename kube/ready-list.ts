/** What an item of a list carries: its neighbours, and the list it is in. */
export interface Listed<T extends Listed<T>> {
  ready: ReadyList<T> | undefined;
  previous: T | undefined;
  next: T | undefined;
}

/** The ready keys of one priority, linked through the entries so that any can leave in one step. */
export class ReadyList<T extends Listed<T>> {
  readonly priority: number;
  first: T | undefined;
  #last: T | undefined;
  length = 0;

  constructor(priority: number) {
    this.priority = priority;
  }

  push(entry: T): void {
    entry.ready = this;
    entry.previous = this.#last;
    entry.next = undefined;
    if (this.#last === undefined) {
      this.first = entry;
    } else {
      this.#last.next = entry;
    }
    this.#last = entry;
    this.length += 1;
  }

  remove(entry: T): void {
    if (entry.previous === undefined) {
      this.first = entry.next;
    } else {
      entry.previous.next = entry.next;
    }
    if (entry.next === undefined) {
      this.#last = entry.previous;
    } else {
      entry.next.previous = entry.previous;
    }
    entry.ready = undefined;
    entry.previous = undefined;
    entry.next = undefined;
    this.length -= 1;
  }
}
