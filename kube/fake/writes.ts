import { randomUUID } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import { apiVersionOf, deepFreeze, makeKey, type ObjectMeta } from "../objects.ts";
import { equal, type Json, type JsonObject } from "./json.ts";
import { alreadyExists, badRequest, conflict, invalid, notFound, Refusal } from "./status.ts";
import type { Collection, Storage, Stored } from "./storage.ts";
import { graceSeconds, isUnconditional, withoutStatus, withStatus } from "./strategy.ts";

export interface DeleteRequest {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: readonly string[];
}

const FOREGROUND = "foregroundDeletion";
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** The rules of the API server's registry about creating, updating and deleting. */
export class Writes {
  readonly #storage: Storage;
  readonly #clock: Clock;
  #names = 0;

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  create(collection: Collection, namespace: string | undefined, body: JsonObject, isDryRun: boolean): Stored {
    const { descriptor } = collection;
    const given = (body["metadata"] ?? {}) as Partial<ObjectMeta>;
    const name = given.name ?? this.#generate(given.generateName, descriptor.kind);
    const what = `${descriptor.plural} "${name}"`;
    if (!NAME.test(name)) {
      throw invalid(what, "metadata.name", `Invalid value: "${name}"`);
    }
    if (descriptor.namespaced && namespace === undefined) {
      throw badRequest("an empty namespace may not be set during creation");
    }
    if (given.namespace !== undefined && descriptor.namespaced && given.namespace !== namespace) {
      throw badRequest(
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    }
    const key = makeKey(descriptor.namespaced ? namespace : undefined, name);
    if (collection.objects.has(key)) {
      throw alreadyExists(what);
    }
    if (given.resourceVersion !== undefined && given.resourceVersion !== "") {
      throw badRequest("resourceVersion should not be set on objects to be created");
    }
    const { deletionTimestamp: _, deletionGracePeriodSeconds: __, ...metadata } = given;
    // A new object has no status: whoever reports it writes it through the subresource.
    const { status: ___, ...rest } = body;
    const object = {
      ...rest,
      apiVersion: apiVersionOf(descriptor),
      kind: descriptor.kind,
      metadata: {
        ...metadata,
        name,
        ...(descriptor.namespaced && namespace !== undefined && { namespace }),
        uid: randomUUID(),
        resourceVersion: "",
        generation: 1,
        creationTimestamp: this.#now(),
      },
    };
    return isDryRun ? object : deepFreeze(this.#storage.write(collection, key, object));
  }

  /**
   * @param options.subresource "status" writes the status only, "" all but the status
   */
  update(
    collection: Collection,
    key: string,
    body: JsonObject,
    options: { readonly verb: "update" | "patch"; readonly subresource: string; readonly isDryRun: boolean },
  ): Stored {
    const { verb, subresource, isDryRun } = options;
    const stored = this.find(collection, key);
    const what = `${collection.descriptor.plural} "${stored.metadata.name}"`;
    const given = (body["metadata"] ?? {}) as Partial<ObjectMeta>;
    if (given.resourceVersion && given.resourceVersion !== stored.metadata.resourceVersion) {
      throw conflict(
        what,
        "the object has been modified; please apply your changes to the latest version and try again",
      );
    }
    if (verb === "update" && !given.resourceVersion && !isUnconditional(collection.descriptor)) {
      throw invalid(what, "metadata.resourceVersion", "Invalid value: 0: must be specified for an update");
    }
    if (given.uid !== undefined && given.uid !== stored.metadata.uid) {
      if (verb === "patch") {
        throw invalid(what, "metadata.uid", `Invalid value: "${given.uid}": field is immutable`);
      }
      const uids = `UID in precondition: ${given.uid}, UID in object meta: ${stored.metadata.uid}`;
      throw conflict(what, `Precondition failed: ${uids}`);
    }
    if (given.name !== undefined && given.name !== stored.metadata.name) {
      throw badRequest("the name of the object does not match the name on the URL");
    }
    const next = subresource === "status" ? withStatus(stored, body) : withoutStatus(stored, body, given);
    this.#checkFinalizers(what, stored, next);
    if (equal(stored as unknown as Json, next as unknown as Json)) {
      // The API server does not write what is the same: no new version and no event.
      return stored;
    }
    if (isDryRun) {
      return next;
    }
    const written = deepFreeze(this.#storage.write(collection, key, next));
    return this.#finish(collection, key) ?? written;
  }

  delete(collection: Collection, key: string, request: DeleteRequest): { object: Stored; isGone: boolean } {
    const object = this.find(collection, key);
    const what = `${collection.descriptor.plural} "${object.metadata.name}"`;
    const { uid, resourceVersion } = request.preconditions ?? {};
    if (uid !== undefined && uid !== object.metadata.uid) {
      throw conflict(
        what,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion) {
      throw conflict(what, `Precondition failed: ResourceVersion in precondition: ${resourceVersion}`);
    }
    if (request.dryRun?.includes("All") === true) {
      return { object, isGone: true };
    }
    if (request.propagationPolicy === "Orphan") {
      this.#orphan(object);
    }
    const grace = graceSeconds(collection, object, request.gracePeriodSeconds);
    const finalizers = [...(object.metadata.finalizers ?? [])];
    if (request.propagationPolicy === "Foreground" && this.#dependents(object).length > 0) {
      finalizers.push(FOREGROUND);
    }
    const isMarked = object.metadata.deletionTimestamp !== undefined;
    const isShorter = grace < (object.metadata.deletionGracePeriodSeconds ?? Number.POSITIVE_INFINITY);
    if (!isMarked || isShorter) {
      const metadata: ObjectMeta = {
        ...object.metadata,
        deletionTimestamp: this.#now(grace * 1000),
        deletionGracePeriodSeconds: grace,
        // The registry counts a deletion as a change of what is wanted.
        generation: (object.metadata.generation ?? 1) + 1,
        ...(finalizers.length > 0 && { finalizers }),
      };
      if (grace > 0 || finalizers.length > 0) {
        this.#storage.write(collection, key, deepFreeze({ ...object, metadata }));
        this.#deleteBlocking(object, finalizers);
      } else {
        this.#remove(collection, key, object);
      }
    }
    const left = this.#finish(collection, key) ?? collection.objects.get(key);
    return { object: left ?? object, isGone: !collection.objects.has(key) };
  }

  /** @throws Refusal 404 */
  find(collection: Collection, key: string): Stored {
    const object = collection.objects.get(key);
    if (object === undefined) {
      throw notFound(`${collection.descriptor.plural} "${key.slice(key.indexOf("/") + 1)}"`);
    }
    return object;
  }

  /** Removes an object that only waited for its last finalizer. */
  #finish(collection: Collection, key: string): Stored | undefined {
    const object = collection.objects.get(key);
    const { deletionTimestamp, finalizers, deletionGracePeriodSeconds = 0 } = object?.metadata ?? {};
    const isWaiting = (finalizers?.length ?? 0) > 0 || deletionGracePeriodSeconds > 0;
    return object !== undefined && deletionTimestamp !== undefined && !isWaiting
      ? this.#remove(collection, key, object)
      : undefined;
  }

  #remove(collection: Collection, key: string, object: Stored): Stored {
    const removed = this.#storage.remove(collection, key, object);
    this.#collectGarbage(object);
    return removed;
  }

  /** What the garbage collector does once an owner is gone. */
  #collectGarbage(owner: Stored): void {
    for (const { collection, key, object } of this.#dependents(owner)) {
      const left = object.metadata.ownerReferences?.filter(({ uid }) => uid !== owner.metadata.uid) ?? [];
      if (left.length > 0) {
        const metadata = { ...object.metadata, ownerReferences: left };
        this.#storage.write(collection, key, deepFreeze({ ...object, metadata }));
      } else {
        this.delete(collection, key, {});
      }
    }
    for (const { uid } of owner.metadata.ownerReferences ?? []) {
      this.#unblock(uid);
    }
  }

  #deleteBlocking(owner: Stored, finalizers: readonly string[]): void {
    if (finalizers.includes(FOREGROUND)) {
      for (const { collection, key } of this.#dependents(owner)) {
        this.delete(collection, key, { propagationPolicy: "Foreground" });
      }
    }
  }

  /** Takes the foreground finalizer off an owner whose last blocking dependent is gone. */
  #unblock(ownerUid: string): void {
    for (const collection of this.#storage.collections) {
      for (const [key, owner] of collection.objects) {
        const finalizers = owner.metadata.finalizers ?? [];
        if (
          owner.metadata.uid === ownerUid &&
          finalizers.includes(FOREGROUND) &&
          this.#dependents(owner).length === 0
        ) {
          const metadata = {
            ...owner.metadata,
            finalizers: finalizers.filter((name) => name !== FOREGROUND),
          };
          this.#storage.write(collection, key, deepFreeze({ ...owner, metadata }));
          this.#finish(collection, key);
        }
      }
    }
  }

  #orphan(owner: Stored): void {
    for (const { collection, key, object } of this.#dependents(owner)) {
      const ownerReferences =
        object.metadata.ownerReferences?.filter(({ uid }) => uid !== owner.metadata.uid) ?? [];
      this.#storage.write(
        collection,
        key,
        deepFreeze({ ...object, metadata: { ...object.metadata, ownerReferences } }),
      );
    }
  }

  #dependents(owner: Stored): { collection: Collection; key: string; object: Stored }[] {
    return [...this.#storage.collections].flatMap((collection) =>
      [...collection.objects]
        .filter(([, object]) =>
          object.metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid),
        )
        .map(([key, object]) => ({ collection, key, object })),
    );
  }

  #checkFinalizers(what: string, stored: Stored, next: Stored): void {
    const known = stored.metadata.finalizers ?? [];
    const added = (next.metadata.finalizers ?? []).filter((name) => !known.includes(name));
    if (stored.metadata.deletionTimestamp !== undefined && added.length > 0) {
      const message = `Forbidden: no new finalizers can be added if the object is being deleted, found ${added}`;
      throw invalid(what, "metadata.finalizers", message);
    }
  }

  #generate(prefix: string | undefined, kind: string): string {
    if (prefix === undefined) {
      throw new Refusal(
        422,
        "Invalid",
        `${kind} is invalid: metadata.name: Required value: name or generateName is required`,
      );
    }
    this.#names += 1;
    return prefix + this.#names.toString(36).padStart(5, "b");
  }

  /** Seconds only, as metav1.Time. */
  #now(offsetMs = 0): string {
    return `${new Date(this.#clock.now() + offsetMs).toISOString().slice(0, 19)}Z`;
  }
}
