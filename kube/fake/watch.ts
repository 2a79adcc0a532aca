import type { Clock, Timer } from "../../lib/clock.ts";
import { apiVersionOf } from "../objects.ts";
import type { Matcher } from "./selector.ts";
import { expired } from "./status.ts";
import type { Change, Collection, Storage, Stored } from "./storage.ts";

export interface WatchRequest {
  readonly namespace: string | undefined;
  readonly matches: Matcher;
  /** "" and "0": the present objects first. */
  readonly resourceVersion: string;
  readonly sendInitialEvents: boolean;
  /** Time from the present objects to the bookmark that ends them. */
  readonly initialEventsMs: number;
  readonly allowBookmarks: boolean;
  readonly timeoutMs: number | undefined;
}

/** The API server sends a bookmark about every minute. */
const BOOKMARK_INTERVAL_MS = 60_000;

/** One client's watch: lines of JSON, to be read with `next` until it gives undefined. */
export class WatchStream {
  readonly #collection: Collection;
  readonly #storage: Storage;
  readonly #request: WatchRequest;
  readonly #clock: Clock;
  readonly #lines: string[] = [];
  #endTimer: Timer | undefined;
  #bookmarkTimer: Timer | undefined;
  #initialTimer: Timer | undefined;
  #wake: (() => void) | undefined;
  #isEnded = false;
  #failure: Error | undefined;

  constructor(collection: Collection, storage: Storage, request: WatchRequest, clock: Clock) {
    this.#collection = collection;
    this.#storage = storage;
    this.#request = request;
    this.#clock = clock;
    if (this.#start()) {
      collection.listeners.add(this.#onChange);
      if (request.timeoutMs !== undefined) {
        this.#endTimer = clock.setTimeout(() => this.end(), request.timeoutMs);
      }
      this.#armBookmark();
    }
  }

  get collection(): Collection {
    return this.#collection;
  }

  /** The next line, newline included; undefined at the end. @throws what `break` was given */
  async next(): Promise<string | undefined> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) {
        return line;
      }
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      if (this.#isEnded) {
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Tells how far the watch has come; nothing while the storage is behind where it began. */
  bookmark(isInitialEnd = false): void {
    if (this.#storage.version < this.#from) {
      return;
    }
    const { descriptor } = this.#collection;
    const { kind } = descriptor;
    const apiVersion = apiVersionOf(descriptor);
    const annotations = isInitialEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
    const metadata = {
      resourceVersion: String(this.#storage.version),
      creationTimestamp: null,
      ...annotations,
    };
    this.push({ type: "BOOKMARK", object: { kind, apiVersion, metadata } });
  }

  /** Sends any line, well-formed or, as a string, not. */
  push(line: object | string): void {
    this.#lines.push(typeof line === "string" ? line : `${JSON.stringify(line)}\n`);
    this.#wake?.();
  }

  /** Ends the stream as a server does whose time is up. */
  end(): void {
    this.#isEnded = true;
    this.mute();
    this.#wake?.();
  }

  /** Breaks the connection. */
  break(error = new Error("connection reset by the fake")): void {
    this.#failure = error;
    this.end();
  }

  /** Events from now on are lost to this watch, which stays open. */
  mute(): void {
    this.#collection.listeners.delete(this.#onChange);
    this.#endTimer?.cancel();
    this.#bookmarkTimer?.cancel();
    this.#initialTimer?.cancel();
  }

  /** The version that it goes on from, which may be yet to come; 0 when it begins with the present objects. */
  get #from(): number {
    return this.#request.sendInitialEvents ? 0 : Number(this.#request.resourceVersion);
  }

  #start(): boolean {
    const { resourceVersion, sendInitialEvents, allowBookmarks } = this.#request;
    if (sendInitialEvents || resourceVersion === "" || resourceVersion === "0") {
      for (const object of this.#collection.list(this.#request.namespace).filter(this.#request.matches)) {
        this.push({ type: "ADDED", object });
      }
      if (sendInitialEvents && allowBookmarks) {
        this.#endInitialEvents();
      }
      return true;
    }
    const from = this.#from;
    if (from < this.#collection.compactedVersion) {
      const refusal = expired(`too old resource version: ${from} (${this.#collection.compactedVersion})`);
      this.push({ type: "ERROR", object: refusal.toStatus() });
      this.end();
      return false;
    }
    for (const change of this.#collection.changes) {
      this.#onChange(change);
    }
    return true;
  }

  #endInitialEvents(): void {
    const { initialEventsMs } = this.#request;
    if (initialEventsMs === 0) {
      this.bookmark(true);
    } else {
      this.#initialTimer = this.#clock.setTimeout(() => this.bookmark(true), initialEventsMs);
    }
  }

  readonly #onChange = (change: Change): void => {
    const { namespace, matches } = this.#request;
    const { object, previous } = change;
    const isElsewhere = namespace !== undefined && object.metadata.namespace !== namespace;
    if (isElsewhere || change.version <= this.#from) {
      return;
    }
    const matched = previous !== undefined && matches(previous);
    const isMatch = matches(object) && change.type !== "DELETED";
    if (!matched && !isMatch) {
      return;
    }
    // A selector makes an object come and go as if it were made and deleted.
    const type = isMatch ? (matched ? "MODIFIED" : "ADDED") : "DELETED";
    this.push({
      type,
      object: isMatch || change.type === "DELETED" ? object : atVersion(previous ?? object, object),
    });
  };

  #armBookmark(): void {
    if (this.#request.allowBookmarks) {
      this.#bookmarkTimer = this.#clock.setTimeout(() => {
        this.bookmark();
        this.#armBookmark();
      }, BOOKMARK_INTERVAL_MS);
    }
  }
}

/** An object that left a selection is sent as it was last in it, at the version of the change. */
function atVersion(object: Stored, changed: Stored): Stored {
  return { ...object, metadata: { ...object.metadata, resourceVersion: changed.metadata.resourceVersion } };
}
