import { randomUUID } from "node:crypto";
import type { Matcher } from "./selector.ts";
import { badRequest, expired } from "./status.ts";
import type { Collection, Storage, Stored } from "./storage.ts";

export interface ListRequest {
  readonly namespace: string | undefined;
  readonly matches: Matcher;
  /** Whether `matches` may leave out objects; what remains is not counted then. */
  readonly isSelective: boolean;
  /** Objects per page; 0 for all. */
  readonly limit: number;
  readonly token: string | null;
}

const MAX_SNAPSHOTS = 100;
const TOKEN = /^page-[0-9a-f-]{36}$/;

/** Lists, and what is left of those that are read in pages: all pages of a list are of one version. */
export class Pages {
  readonly #storage: Storage;
  /** Rest of a paged list by continue token. */
  readonly #snapshots = new Map<string, { items: Stored[]; version: number }>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * The body of a list.
   * @throws Refusal 410 when the token is too old, 400 when it is none
   */
  list(collection: Collection, request: ListRequest): object {
    const snapshot = this.#snapshot(collection, request);
    const size = request.limit || snapshot.items.length;
    const rest = snapshot.items.slice(size);
    return {
      kind: `${collection.descriptor.kind}List`,
      apiVersion: "v1",
      metadata: {
        resourceVersion: String(snapshot.version),
        ...(rest.length > 0 && { continue: this.#keep(rest, snapshot.version) }),
        ...(rest.length > 0 && !request.isSelective && { remainingItemCount: rest.length }),
      },
      // As the API server does, items of a list come without apiVersion and kind.
      items: snapshot.items.slice(0, size).map(({ apiVersion: _, kind: __, ...item }) => item),
    };
  }

  /** Forgets all tokens, as a compaction does. */
  forget(): void {
    this.#snapshots.clear();
  }

  #snapshot(collection: Collection, { namespace, matches, token }: ListRequest) {
    if (token === null) {
      return { items: collection.list(namespace).filter(matches), version: this.#storage.version };
    }
    if (!TOKEN.test(token)) {
      throw badRequest("continue key is not valid");
    }
    const snapshot = this.#snapshots.get(token);
    if (snapshot === undefined) {
      throw expired("The provided continue parameter is too old to display a consistent list result");
    }
    return snapshot;
  }

  #keep(items: Stored[], version: number): string {
    const token = `page-${randomUUID()}`;
    this.#snapshots.set(token, { items, version });
    for (const oldest of this.#snapshots.keys()) {
      if (this.#snapshots.size <= MAX_SNAPSHOTS) {
        break;
      }
      this.#snapshots.delete(oldest);
    }
    return token;
  }
}
