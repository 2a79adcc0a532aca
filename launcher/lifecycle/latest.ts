/** A value that changes, for readers who want its newest state and not each one. */

export class Latest<T> {
  #value: T;
  #isClosed = false;
  readonly #wake = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (this.#isClosed) return;
    this.#value = value;
    this.#wakeAll();
  }

  /** Readers get the last value and then the end. */
  close(): void {
    this.#isClosed = true;
    this.#wakeAll();
  }

  /** The value now, and again after changes: a slow reader gets only the newest. */
  watch(): AsyncIterableIterator<T> {
    let seen: { readonly value: T } | undefined;
    let hasLeft = false;
    let wake: (() => void) | undefined;
    const forget = () => {
      if (wake !== undefined) this.#wake.delete(wake);
    };
    const next = async (): Promise<IteratorResult<T>> => {
      for (;;) {
        if (hasLeft) return { done: true, value: undefined };
        if (seen === undefined || seen.value !== this.#value) {
          seen = { value: this.#value };
          return { done: false, value: this.#value };
        }
        if (this.#isClosed) return { done: true, value: undefined };
        await new Promise<void>((resolve) => {
          wake = resolve;
          this.#wake.add(resolve);
        });
        forget();
      }
    };
    const iterator: AsyncIterableIterator<T> = {
      next,
      // Written out, for a generator would hold return() back until the next change.
      return: async () => {
        hasLeft = true;
        wake?.();
        forget();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #wakeAll(): void {
    for (const wake of this.#wake) wake();
  }
}
