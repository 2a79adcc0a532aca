import type { Client, Request } from "./client.ts";
import { ProtocolError } from "./errors.ts";
import { apiVersionOf, type Draft, type KubeObject, type ResourceDescriptor } from "./objects.ts";
import {
  type ApplyOptions,
  type DeleteOptions,
  type GetOptions,
  type List,
  type ListOptions,
  type Patch,
  queryString,
  type RequestOptions,
  resourcePath,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
} from "./request.ts";
import { watchEvents } from "./watch.ts";

/** The pager's page size; client-go's. */
export const PAGE_SIZE = 500;

const METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

const CONTENT_TYPES = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
} as const;

interface ListBody<T> {
  readonly kind?: string;
  readonly metadata?: {
    readonly resourceVersion?: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items?: T[] | null;
}

/**
 * Typed access to one kind, in one namespace or (without `namespace`) in all.
 * Every method throws the types of errors.ts.
 */
export class ResourceClient<T extends KubeObject> {
  readonly descriptor: ResourceDescriptor<T>;
  readonly #client: Client;
  readonly #namespace: string | undefined;

  constructor(client: Client, descriptor: ResourceDescriptor<T>, namespace?: string) {
    this.descriptor = descriptor;
    this.#client = client;
    this.#namespace = namespace;
  }

  /** The same kind in one namespace. Cluster-scoped kinds ignore it. */
  namespace(namespace: string | undefined): ResourceClient<T> {
    return new ResourceClient(this.#client, this.descriptor, namespace);
  }

  get(name: string, options: GetOptions = {}): Promise<T> {
    const { resourceVersion, ...rest } = options;
    return this.#object({
      method: "GET",
      path: this.#path(name) + queryString({ resourceVersion }),
      action: this.#action("get", name),
      ...rest,
    });
  }

  /** One page; the whole list without `limit`. */
  async list(options: ListOptions = {}): Promise<List<T>> {
    const { labelSelector, fieldSelector, limit, resourceVersion, resourceVersionMatch, ...rest } = options;
    const { continue: continueToken, ...request } = rest;
    const query = { labelSelector, fieldSelector, limit, continue: continueToken };
    const body = await this.#list<T>({
      method: "GET",
      path: this.#path() + queryString({ ...query, resourceVersion, resourceVersionMatch }),
      action: this.#action("list"),
      ...request,
    });
    return {
      items: (body.items ?? []).map((item) => this.#complete(item)),
      resourceVersion: body.metadata?.resourceVersion ?? "",
      continueToken: body.metadata?.continue || undefined,
      remainingItemCount: body.metadata?.remainingItemCount,
    };
  }

  /** All objects, read in pages as they are consumed. A token that expires on the way throws GoneError. */
  async *items(options: Omit<ListOptions, "continue"> = {}): AsyncGenerator<T, void, void> {
    let page = await this.list({ limit: PAGE_SIZE, ...options });
    yield* page.items;
    while (page.continueToken !== undefined) {
      const { resourceVersion: _, resourceVersionMatch: __, ...rest } = options;
      page = await this.list({ limit: PAGE_SIZE, ...rest, continue: page.continueToken });
      yield* page.items;
    }
  }

  /** All objects in one answer, their metadata only. */
  async listMetadata(
    options: Pick<ListOptions, "labelSelector" | "fieldSelector"> & RequestOptions = {},
  ): Promise<{ items: KubeObject[]; resourceVersion: string }> {
    const { labelSelector, fieldSelector, ...request } = options;
    const body = await this.#list<KubeObject>({
      method: "GET",
      path: this.#path() + queryString({ labelSelector, fieldSelector }),
      accept: METADATA_LIST,
      action: this.#action("list metadata of"),
      ...request,
    });
    return { items: body.items ?? [], resourceVersion: body.metadata?.resourceVersion ?? "" };
  }

  /** Changes as they come, until the server or the signal ends the stream. */
  watch(options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, void> {
    return watchEvents(
      this.#client,
      this.#path(),
      this.#action("watch"),
      (object: T) => this.#complete(object),
      options,
    );
  }

  create(draft: Draft<T>, options: WriteOptions = {}): Promise<T> {
    return this.#write("POST", this.#pathFor(draft.metadata, undefined, options), "create", draft, options);
  }

  /** Replaces the object. `metadata.resourceVersion` makes it fail with Conflict when it has changed. */
  update(object: T, options: WriteOptions = {}): Promise<T> {
    const name = object.metadata.name ?? "";
    return this.#write("PUT", this.#pathFor(object.metadata, name, options), "update", object, options);
  }

  /** Replaces the status only. */
  updateStatus(object: T, options: WriteOptions = {}): Promise<T> {
    return this.update(object, { ...options, subresource: "status" });
  }

  patch(name: string, patch: Patch, options: WriteOptions = {}): Promise<T> {
    const { subresource } = options;
    return this.#object({
      method: "PATCH",
      path: this.#path(name, subresource) + queryString(writeQuery(options)),
      action: this.#action(subresource === undefined ? "patch" : `patch ${subresource} of`, name),
      body: patch.type === "json" ? patch.operations : patch.body,
      contentType: CONTENT_TYPES[patch.type],
      ...requestOptions(options),
    });
  }

  /** Server-side apply: creates the object or makes the fields in `object` so, as their owner. */
  apply(object: Draft<T>, options: ApplyOptions): Promise<T> {
    const { force, ...rest } = options;
    const name = object.metadata.name ?? "";
    return this.#object({
      method: "PATCH",
      path: this.#pathFor(object.metadata, name, options) + queryString({ ...writeQuery(rest), force }),
      action: this.#action("apply", name),
      body: this.#complete(object),
      contentType: "application/apply-patch+yaml",
      ...requestOptions(rest),
    });
  }

  /** Deletes; resolves with the object when it lingers (finalizers, grace), else with the server's Status. */
  delete(name: string, options: DeleteOptions = {}): Promise<unknown> {
    return this.#client.request({
      method: "DELETE",
      path: this.#path(name),
      action: this.#action("delete", name),
      body: deleteBody(options),
      ...requestOptions(options),
    });
  }

  /** Deletes every object that the selectors match. */
  deleteCollection(
    options: DeleteOptions & Pick<ListOptions, "labelSelector" | "fieldSelector"> = {},
  ): Promise<unknown> {
    const { labelSelector, fieldSelector } = options;
    return this.#client.request({
      method: "DELETE",
      path: this.#path() + queryString({ labelSelector, fieldSelector }),
      action: this.#action("delete all"),
      body: deleteBody(options),
      ...requestOptions(options),
    });
  }

  /** Reads a subresource: scale, status … */
  getSubresource<R>(name: string, subresource: string, options: RequestOptions = {}): Promise<R> {
    return this.#client.request<R>({
      method: "GET",
      path: this.#path(name, subresource),
      action: this.#action(`get ${subresource} of`, name),
      ...options,
    });
  }

  /** Posts to a subresource: eviction, binding, token … */
  createSubresource<R>(
    name: string,
    subresource: string,
    body: object,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.#client.request<R>({
      method: "POST",
      path: this.#path(name, subresource) + queryString(writeQuery(options)),
      action: this.#action(`create ${subresource} of`, name),
      body,
      ...requestOptions(options),
    });
  }

  #write(
    method: "POST" | "PUT",
    path: string,
    verb: string,
    object: Draft<T> | T,
    options: WriteOptions,
  ): Promise<T> {
    const { name, generateName, namespace } = object.metadata;
    return this.#object({
      method,
      path: path + queryString(writeQuery(options)),
      action: this.#action(verb, name ?? `${generateName ?? ""}*`, namespace),
      body: this.#complete(object),
      ...requestOptions(options),
    });
  }

  /** An answer that must be an object: somebody's `{}` with 200 is none. A review has metadata without a name. */
  async #object(request: Request): Promise<T> {
    const body = await this.#client.request<T | undefined>(request);
    if (typeof body?.metadata !== "object") {
      throw new ProtocolError(`${request.action}: the answer is not a Kubernetes object`);
    }
    return body;
  }

  /** An answer that must be a list: anything else would look like an empty one. */
  async #list<I>(request: Request): Promise<ListBody<I>> {
    const body = await this.#client.request<ListBody<I> | undefined>(request);
    if (body?.kind?.endsWith("List") !== true || typeof body.metadata !== "object") {
      throw new ProtocolError(`${request.action}: the answer is not a Kubernetes list`);
    }
    return body;
  }

  /** Items of lists lack `apiVersion` and `kind`; one order of fields keeps one hidden class in V8. */
  #complete<O extends object>(object: O): O {
    return Object.assign({ apiVersion: apiVersionOf(this.descriptor), kind: this.descriptor.kind }, object);
  }

  #path(name?: string, subresource?: string): string {
    return resourcePath(this.descriptor, this.#namespace, name, subresource);
  }

  #pathFor(
    metadata: { readonly namespace?: string | undefined },
    name: string | undefined,
    { subresource }: WriteOptions,
  ): string {
    return resourcePath(this.descriptor, this.#namespace ?? metadata.namespace, name, subresource);
  }

  #action(verb: string, name?: string, namespace: string | undefined = this.#namespace): string {
    const object = [namespace, name].filter((part) => part !== undefined).join("/");
    return `${verb} ${this.descriptor.plural}${object === "" ? "" : ` ${object}`}`;
  }
}

function writeQuery(options: WriteOptions): { [name: string]: string | undefined } {
  const { dryRun, fieldManager, fieldValidation } = options;
  return { dryRun: dryRun === true ? "All" : undefined, fieldManager, fieldValidation };
}

function requestOptions({ timeoutMs, signal }: RequestOptions): RequestOptions {
  return { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal !== undefined && { signal }) };
}

function deleteBody({ dryRun, gracePeriodSeconds, propagationPolicy, preconditions }: DeleteOptions): object {
  return {
    apiVersion: "v1",
    kind: "DeleteOptions",
    ...(dryRun === true && { dryRun: ["All"] }),
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== undefined && { propagationPolicy }),
    ...(preconditions !== undefined && { preconditions }),
  };
}
