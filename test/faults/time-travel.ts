/** Shows a client that starts anew the cluster as it was at an earlier revision, until it may catch up. */
import type { IncomingHttpHeaders } from "node:http";
import type { Exchange } from "./exchange.ts";
import type { WatchEvent } from "./fault.ts";
import { listObjects, selectorsOf } from "./list.ts";
import { type Upstream, watchLines } from "./upstream.ts";

interface Journey {
  /** Revision that lists and watches start from. */
  readonly resourceVersion: string;
  readonly caughtUp: PromiseWithResolvers<void>;
  /** Collections that were shown as of then. */
  shown: number;
}

export class TimeTravel {
  readonly #upstream: Upstream;
  #journey: Journey | undefined;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /**
   * From now on, who lists by a watch sees the objects as of this revision, and nothing newer until `catchUp`. The API
   * server must not have compacted it (it keeps five minutes). Single objects are read as they are, as from a quorum.
   */
  goBackTo(resourceVersion: string): void {
    this.#journey = { resourceVersion, caughtUp: Promise.withResolvers(), shown: 0 };
  }

  /** Lets the events since then come. @returns how many collections had been shown as of then */
  catchUp(): number {
    const { caughtUp, shown = 0 } = this.#journey ?? {};
    this.#journey = undefined;
    caughtUp?.resolve();
    return shown;
  }

  /** How many collections have been shown as of then. */
  get shown(): number {
    return this.#journey?.shown ?? 0;
  }

  covers({ query }: Exchange): boolean {
    return this.#journey !== undefined && query.get("sendInitialEvents") === "true";
  }

  async *events(
    exchange: Exchange,
    headers: IncomingHttpHeaders,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void, void> {
    const journey = this.#journey;
    if (journey === undefined) return;
    const { path, query } = exchange;
    const { resourceVersion } = journey;
    const objects = await listObjects(this.#upstream, exchange, headers, [
      ["resourceVersion", resourceVersion],
      ["resourceVersionMatch", "Exact"],
    ]);
    for (const object of objects) yield { type: "ADDED", object };
    const annotations = { "k8s.io/initial-events-end": "true" };
    yield { type: "BOOKMARK", object: { metadata: { resourceVersion, annotations } } };
    journey.shown++;

    await Promise.race([journey.caughtUp.promise, aborted(signal)]);
    if (signal.aborted) return;
    const since = new URLSearchParams([
      ...selectorsOf(exchange),
      ["watch", "true"],
      ["allowWatchBookmarks", "true"],
      ["resourceVersion", resourceVersion],
      ["timeoutSeconds", query.get("timeoutSeconds") ?? "300"],
    ]);
    const live = await this.#upstream.open("GET", `${path}?${since}`, headers, undefined, signal);
    yield* watchLines(live);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
