import { type Clock, systemClock } from "../lib/clock.ts";

/** client-go's ExpectationsTimeout: events that never come must not block a key for ever. */
const EXPIRE_MS = 300_000;

interface Expected {
  creations: number;
  readonly deletions: Set<string>;
  readonly sinceMs: number;
}

/**
 * Remembers the children that a reconcile made and removed until the cache has seen them, so that the next
 * reconcile of the key does not count them wrong. client-go's UIDTrackingControllerExpectations.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #expected = new Map<string, Expected>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** True when the cache can be trusted for this key: all was seen, or 5 minutes have passed. */
  isSatisfied(key: string): boolean {
    const expected = this.#expected.get(key);
    if (expected === undefined) {
      return true;
    }
    const isExpired = this.#clock.monotonic() - expected.sinceMs > EXPIRE_MS;
    return isExpired || (expected.creations <= 0 && expected.deletions.size === 0);
  }

  /** To be called before the creates. */
  expectCreations(key: string, count: number): void {
    this.#set(key, count, []);
  }

  /** To be called before the deletes. @param uids of the objects, because a tombstone and an event may both tell */
  expectDeletions(key: string, uids: Iterable<string>): void {
    this.#set(key, 0, uids);
  }

  /** The cache saw a create, or a create failed and will not be seen. */
  creationObserved(key: string): void {
    const expected = this.#expected.get(key);
    if (expected !== undefined) {
      expected.creations -= 1;
    }
  }

  /** The cache saw a delete, or a delete failed. */
  deletionObserved(key: string, uid: string): void {
    this.#expected.get(key)?.deletions.delete(uid);
  }

  /** Forgets a key, once its object is gone. */
  delete(key: string): void {
    this.#expected.delete(key);
  }

  /** Adds to what is still awaited: a second round within one reconcile must not forget the first. */
  #set(key: string, creations: number, uids: Iterable<string>): void {
    const pending = this.isSatisfied(key) ? undefined : this.#expected.get(key);
    this.#expected.set(key, {
      creations: Math.max(pending?.creations ?? 0, 0) + creations,
      deletions: new Set([...(pending?.deletions ?? []), ...uids]),
      sinceMs: this.#clock.monotonic(),
    });
  }
}
