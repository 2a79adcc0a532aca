import { LruMap } from "./lru.ts";

/** What happened to an object, for people. */
export interface EventInput {
  readonly type: "Normal" | "Warning";
  /** CamelCase, why. */
  readonly reason: string;
  readonly message: string;
}

/** What to write: a new Event, or a higher count on one written before. */
export type Correlation =
  | { readonly outcome: "create"; readonly name: string; readonly message: string; readonly firstMs: number }
  | {
      readonly outcome: "update";
      readonly name: string;
      readonly message: string;
      readonly firstMs: number;
      readonly count: number;
    }
  /** The object has used up its events. */
  | { readonly outcome: "drop" };

interface Recorded {
  readonly name: string;
  readonly firstMs: number;
  lastMs: number;
  count: number;
}

interface Similar {
  readonly messages: Set<string>;
  lastMs: number;
}

interface Tokens {
  left: number;
  updatedMs: number;
}

/** client-go's defaults. */
const CACHE_SIZE = 4096;
const MAX_SIMILAR = 10;
const SIMILAR_WINDOW_MS = 600_000;
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;

/**
 * Keeps a controller that repeats itself from flooding etcd, as client-go's EventCorrelator does:
 * the same event counts up; from the eleventh message of the same reason within 10 min they share one event;
 * an object has 25 events at once and one more every 5 min.
 */
export class EventCorrelator {
  readonly #recorded = new LruMap<string, Recorded>(CACHE_SIZE);
  readonly #similar = new LruMap<string, Similar>(CACHE_SIZE);
  readonly #tokens = new LruMap<string, Tokens>(CACHE_SIZE);

  /**
   * @param object identifies the object: its UID
   * @param newName the name that a new Event would get
   */
  correlate(object: string, event: EventInput, nowMs: number, newName: () => string): Correlation {
    const group = `${object}\n${event.type}\n${event.reason}`;
    const isCombined = this.#countSimilar(group, event.message, nowMs);
    const message = isCombined ? `(combined from similar events): ${event.message}` : event.message;
    const key = isCombined ? group : `${group}\n${event.message}`;
    const known = this.#recorded.get(key);
    if (!this.#takeToken(object, nowMs)) {
      // It happened all the same: the next one written says how often.
      if (known !== undefined) {
        known.count += 1;
        known.lastMs = nowMs;
      }
      return { outcome: "drop" };
    }
    if (known === undefined) {
      const recorded = { name: newName(), firstMs: nowMs, lastMs: nowMs, count: 1 };
      this.#recorded.set(key, recorded);
      return { outcome: "create", name: recorded.name, message, firstMs: nowMs };
    }
    known.count += 1;
    known.lastMs = nowMs;
    return { outcome: "update", name: known.name, message, firstMs: known.firstMs, count: known.count };
  }

  #countSimilar(group: string, message: string, nowMs: number): boolean {
    let similar = this.#similar.get(group);
    if (similar === undefined || nowMs - similar.lastMs > SIMILAR_WINDOW_MS) {
      similar = { messages: new Set(), lastMs: nowMs };
      this.#similar.set(group, similar);
    }
    similar.lastMs = nowMs;
    if (similar.messages.size <= MAX_SIMILAR) {
      similar.messages.add(message);
    }
    return similar.messages.size > MAX_SIMILAR;
  }

  #takeToken(object: string, nowMs: number): boolean {
    const tokens = this.#tokens.get(object) ?? { left: SPAM_BURST, updatedMs: nowMs };
    const left = Math.min(SPAM_BURST, tokens.left + (nowMs - tokens.updatedMs) / SPAM_REFILL_MS);
    tokens.left = left >= 1 ? left - 1 : left;
    tokens.updatedMs = nowMs;
    this.#tokens.set(object, tokens);
    return left >= 1;
  }
}
