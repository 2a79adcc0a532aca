import { type Clock, systemClock } from "../../lib/clock.ts";
import { type KubeObject, keyOf, makeKey, type ResourceDescriptor } from "../objects.ts";
import { FieldOwners, type Writer } from "./apply.ts";
import type { Json, JsonObject } from "./json.ts";
import { Pages } from "./pages.ts";
import {
  deleteRequest,
  type FakeRequest,
  type FakeResponse,
  type Intercept,
  isDryRun,
  managerOf,
  parse,
  patch,
  selectors,
} from "./request.ts";
import { badRequest, invalid, Refusal } from "./status.ts";
import { Storage, type Stored } from "./storage.ts";
import { postSubresource } from "./subresources.ts";
import { type Target, targetOf } from "./target.ts";
import { WatchStream } from "./watch.ts";
import { Writes } from "./writes.ts";

export type { FakeRequest, FakeResponse, Intercept } from "./request.ts";

export interface FakeApiServerOptions {
  readonly resources: readonly ResourceDescriptor[];
  readonly clock?: Clock;
}

/**
 * An API server in memory, for unit tests: versions, conflicts, watches with history, bookmarks and 410, paged
 * lists, finalizers, grace, garbage collection, status, generateName, and the three portable kinds of patch.
 * It knows no schemas: any object of a registered kind is valid. Nothing checks credentials.
 */
export class FakeApiServer {
  readonly storage = new Storage();
  /** Every request received, oldest first. */
  readonly requests: FakeRequest[] = [];
  /** Open watches. */
  readonly watches = new Set<WatchStream>();
  /** For faults, and for what needs an opinion: reviews, tokens. */
  intercept: Intercept | undefined;
  /** How long a streaming list takes to end after its objects; changes come meanwhile, as they do in a real one. */
  initialEventsMs = 0;
  readonly #clock: Clock;
  readonly #writes: Writes;
  readonly #owners = new FieldOwners();
  readonly #pages = new Pages(this.storage);

  constructor(options: FakeApiServerOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#writes = new Writes(this.storage, this.#clock);
    for (const descriptor of options.resources) {
      this.register(descriptor);
    }
  }

  /** Serves a kind, as a CRD does. */
  register(descriptor: ResourceDescriptor): void {
    this.storage.register(descriptor);
  }

  /** Ends a kind with its watches, as deleting a CRD does. */
  unregister(descriptor: ResourceDescriptor): void {
    const collection = this.storage.get(descriptor);
    for (const key of [...collection.objects.keys()]) {
      this.#writes.delete(collection, key, {});
    }
    this.storage.unregister(descriptor);
    for (const watch of this.watches) {
      if (watch.collection === collection) {
        watch.end();
      }
    }
  }

  /** The stored object, frozen. */
  get<T extends KubeObject>(descriptor: ResourceDescriptor<T>, key: string): T | undefined {
    return this.storage.get(descriptor).objects.get(key) as T | undefined;
  }

  list<T extends KubeObject>(descriptor: ResourceDescriptor<T>): T[] {
    return this.storage.get(descriptor).list(undefined) as unknown as T[];
  }

  /** Requests that change something. */
  get writes(): FakeRequest[] {
    return this.requests.filter(({ method }) => method !== "GET");
  }

  /** Forgets history and continue tokens: watches and pages from before get 410. */
  compact(): void {
    this.storage.compact();
    this.#pages.forget();
  }

  async handle(request: FakeRequest): Promise<FakeResponse> {
    this.requests.push(request);
    try {
      return (await this.intercept?.(request)) ?? this.#route(request);
    } catch (error) {
      if (error instanceof Refusal) {
        return { statusCode: error.statusCode, body: error.toStatus() };
      }
      throw error;
    }
  }

  #route(request: FakeRequest): FakeResponse {
    const url = new URL(request.path, "http://fake");
    if (url.pathname === "/readyz" || url.pathname === "/livez") {
      return { statusCode: 200, text: "ok" };
    }
    if (url.pathname === "/version") {
      return { statusCode: 200, body: { major: "1", minor: "36", gitVersion: "v1.36.0-fake" } };
    }
    const target = targetOf(url.pathname, this.storage);
    const query = url.searchParams;
    if (target.name === undefined) {
      return this.#collectionRequest(request, target, query);
    }
    return this.#objectRequest(request, target, query);
  }

  #collectionRequest(request: FakeRequest, target: Target, query: URLSearchParams): FakeResponse {
    const { collection, namespace } = target;
    switch (request.method) {
      case "GET":
        return query.get("watch") === "true" ? this.#watch(target, query) : this.#list(target, query);
      case "POST": {
        const object = this.#writes.create(collection, namespace, parse(request.body), isDryRun(query));
        this.#note({}, object, request, target, query);
        return { statusCode: 201, body: object };
      }
      case "DELETE": {
        const matches = selectors(query, collection);
        for (const object of collection.list(namespace).filter(matches)) {
          this.#writes.delete(collection, keyOf(object), deleteRequest(request.body));
        }
        return {
          statusCode: 200,
          body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" },
        };
      }
      default:
        throw new Refusal(405, "MethodNotAllowed", `the server does not allow ${request.method} here`);
    }
  }

  #objectRequest(request: FakeRequest, target: Target, query: URLSearchParams): FakeResponse {
    const { collection, subresource } = target;
    const key = makeKey(collection.descriptor.namespaced ? target.namespace : undefined, target.name ?? "");
    switch (request.method) {
      case "GET":
        return { statusCode: 200, body: this.#writes.find(collection, key) };
      case "PUT": {
        const options = { verb: "update", subresource, isDryRun: isDryRun(query) } as const;
        const before = this.#writes.find(collection, key);
        const object = this.#writes.update(collection, key, parse(request.body), options);
        this.#note(before, object, request, target, query);
        return { statusCode: 200, body: object };
      }
      case "PATCH":
        return this.#patch(request, target, key, query);
      case "POST":
        return postSubresource(this.#writes, target, key, parse(request.body));
      case "DELETE": {
        const { object, isGone } = this.#writes.delete(collection, key, deleteRequest(request.body));
        const { name, uid } = object.metadata;
        const details = { name, group: collection.descriptor.group, kind: collection.descriptor.plural, uid };
        const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
        return { statusCode: 200, body: isGone ? success : object };
      }
      default:
        throw new Refusal(405, "MethodNotAllowed", `the server does not allow ${request.method} here`);
    }
  }

  #list({ collection, namespace }: Target, query: URLSearchParams): FakeResponse {
    const body = this.#pages.list(collection, {
      namespace,
      matches: selectors(query, collection),
      isSelective: query.has("labelSelector") || query.has("fieldSelector"),
      limit: Number(query.get("limit") ?? 0),
      token: query.get("continue"),
    });
    return { statusCode: 200, body };
  }

  /** Notes whose fields a write has changed. */
  #note(
    before: Stored | object,
    after: Stored,
    request: FakeRequest,
    { subresource }: Target,
    query: URLSearchParams,
  ): void {
    if (!isDryRun(query)) {
      const writer: Writer = { manager: managerOf(request, query), subresource };
      this.#owners.wrote(after.metadata.uid, before as JsonObject, after as unknown as JsonObject, writer);
    }
  }

  #watch({ collection, namespace }: Target, query: URLSearchParams): FakeResponse {
    const sendInitialEvents = query.get("sendInitialEvents") === "true";
    if (sendInitialEvents && query.get("resourceVersionMatch") !== "NotOlderThan") {
      throw invalid(
        "ListOptions",
        "resourceVersionMatch",
        "Forbidden: sendInitialEvents requires NotOlderThan",
      );
    }
    const seconds = query.get("timeoutSeconds");
    const watch = new WatchStream(
      collection,
      this.storage,
      {
        namespace,
        matches: selectors(query, collection),
        resourceVersion: query.get("resourceVersion") ?? "",
        sendInitialEvents,
        initialEventsMs: this.initialEventsMs,
        allowBookmarks: query.get("allowWatchBookmarks") === "true",
        timeoutMs: seconds === null ? undefined : Number(seconds) * 1000,
      },
      this.#clock,
    );
    this.watches.add(watch);
    return { statusCode: 200, watch };
  }

  #patch(request: FakeRequest, target: Target, key: string, query: URLSearchParams): FakeResponse {
    const { collection, subresource } = target;
    const type = String(request.headers["content-type"] ?? "");
    if (type.startsWith("application/apply-patch")) {
      return this.#apply(request, target, key, query);
    }
    const stored = this.#writes.find(collection, key);
    const patched = patch(type, stored as unknown as Json, JSON.parse(request.body) as Json) as JsonObject;
    const options = { verb: "patch", subresource, isDryRun: isDryRun(query) } as const;
    const object = this.#writes.update(collection, key, patched, options);
    this.#note(stored, object, request, target, query);
    return { statusCode: 200, body: object };
  }

  #apply(request: FakeRequest, target: Target, key: string, query: URLSearchParams): FakeResponse {
    const { collection, namespace, subresource } = target;
    const manager = query.get("fieldManager");
    if (manager === null) {
      throw badRequest(
        "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch",
      );
    }
    const wanted = parse(request.body);
    const writer = { manager, subresource };
    const options = { force: query.get("force") === "true", isDryRun: isDryRun(query) };
    const known = collection.objects.get(key);
    if (known === undefined) {
      const made = this.#writes.create(collection, namespace, wanted, options.isDryRun);
      this.#owners.apply(made.metadata.uid, made as unknown as JsonObject, wanted, writer, options);
      return { statusCode: 201, body: made };
    }
    const { uid } = known.metadata;
    const result = this.#owners.apply(uid, known as unknown as JsonObject, wanted, writer, options);
    const body = this.#writes.update(collection, key, result, { verb: "patch", subresource, ...options });
    return { statusCode: 200, body };
  }
}
