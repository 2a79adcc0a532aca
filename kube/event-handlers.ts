import type { Delta } from "./cache.ts";

/** Is told of every change, in order, at once. It must be quick (add a key to a queue) and must not change objects. */
export interface EventHandler<T> {
  /** For metrics and logs. */
  readonly name: string;
  onAdd?(object: T, isInInitialList: boolean): void;
  /** `previous` and `object` are the same object at a resync. */
  onUpdate?(previous: T, object: T): void;
  /** `isFinalStateKnown` is false for an object that vanished unseen; `object` is then how it was known. */
  onDelete?(object: T, isFinalStateKnown: boolean): void;
}

interface Registration<T> {
  readonly handler: EventHandler<T>;
  isActive: boolean;
}

/** Tells any number of handlers of deltas, in order; one that throws disturbs no other. */
export class EventHandlers<T> {
  readonly #onError: (handler: EventHandler<T>, error: unknown) => void;
  /** Replaced, never changed: a handler that adds another must not have it told of what it has just been told. */
  #registrations: readonly Registration<T>[] = [];

  constructor(onError: (handler: EventHandler<T>, error: unknown) => void) {
    this.#onError = onError;
  }

  /** Adds a handler and tells it of the objects that are there; returns how to take it away. */
  add(handler: EventHandler<T>, present: readonly T[]): () => void {
    const registration = { handler, isActive: true };
    this.#registrations = [...this.#registrations, registration];
    for (const object of present) {
      this.#tell(registration, { type: "added", object, isInInitialList: true });
    }
    return () => {
      registration.isActive = false;
      this.#registrations = this.#registrations.filter((other) => other !== registration);
    };
  }

  /** Tells every handler of one delta before the next. */
  tell(deltas: readonly Delta<T>[]): void {
    const registrations = this.#registrations;
    for (const delta of deltas) {
      for (const registration of registrations) {
        this.#tell(registration, delta);
      }
    }
  }

  #tell({ handler, isActive }: Registration<T>, delta: Delta<T>): void {
    if (!isActive) {
      return;
    }
    try {
      switch (delta.type) {
        case "added":
          handler.onAdd?.(delta.object, delta.isInInitialList);
          break;
        case "updated":
          handler.onUpdate?.(delta.previous, delta.object);
          break;
        case "deleted":
          handler.onDelete?.(delta.object, delta.isFinalStateKnown);
          break;
      }
    } catch (error) {
      this.#onError(handler, error);
    }
  }
}
