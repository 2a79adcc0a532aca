/** Shows a client that starts anew the cluster as it was at an earlier revision, until it may catch up. */
import type { IncomingHttpHeaders } from "node:http";
import type { Exchange } from "./exchange.ts";
import type { WatchEvent, WatchObject } from "./fault.ts";
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
    { path, query }: Exchange,
    headers: IncomingHttpHeaders,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent, void, void> {
    const journey = this.#journey;
    if (journey === undefined) return;
    const { resourceVersion } = journey;
    const selectors = ["labelSelector", "fieldSelector"].flatMap((name) => {
      const value = query.get(name);
      return value === null ? [] : [[name, value] as [string, string]];
    });
    const exact = new URLSearchParams([
      ...selectors,
      ["resourceVersion", resourceVersion],
      ["resourceVersionMatch", "Exact"],
    ]);
    const reply = await this.#upstream.send("GET", `${path}?${exact}`, headers, undefined);
    if (reply.status !== 200) throw new Error(`list ${path} as of ${resourceVersion}: ${reply.body}`);
    const list = JSON.parse(reply.body.toString()) as {
      kind: string;
      apiVersion: string;
      items: WatchObject[];
    };
    const { apiVersion } = list;
    const kind = list.kind.replace(/List$/, "");
    for (const item of list.items) yield { type: "ADDED", object: { apiVersion, kind, ...item } };
    const annotations = { "k8s.io/initial-events-end": "true" };
    yield { type: "BOOKMARK", object: { kind, apiVersion, metadata: { resourceVersion, annotations } } };
    journey.shown++;

    await Promise.race([journey.caughtUp.promise, aborted(signal)]);
    if (signal.aborted) return;
    const since = new URLSearchParams([
      ...selectors,
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
