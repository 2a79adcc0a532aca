import type { Client } from "./client.ts";
import { ignoreNotFound } from "./errors.ts";
import { apiVersionOf, type KubeObject, type OwnerReference, type ResourceDescriptor } from "./objects.ts";
import { mergePatch } from "./request.ts";

/**
 * The reference that makes `owner` the one controller of an object.
 * @param owner as read from the API: it needs apiVersion, kind, name and UID
 * @throws TypeError when one of them is missing
 */
export function controllerReference(owner: KubeObject): OwnerReference {
  const { apiVersion, kind } = owner;
  const { name, uid } = owner.metadata;
  if (apiVersion === undefined || kind === undefined || name === undefined || uid === undefined) {
    throw new TypeError(`owner reference to ${kind} ${name}: apiVersion, kind, name or uid is missing`);
  }
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** The object's controller, if it has one. */
export function controllerOf(object: KubeObject): Readonly<OwnerReference> | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

/** By UID: a namesake made later is another object. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  const controller = controllerOf(object);
  return controller !== undefined && controller.uid === owner.metadata.uid;
}

/** What to do with an object that may be ours. */
export type Claim = "keep" | "adopt" | "release" | "ignore";

/**
 * Decides as client-go's ControllerRefManager does.
 * @param isWanted whether it matches the owner's selector
 */
export function claim(owner: KubeObject, object: KubeObject, isWanted: boolean): Claim {
  const controller = controllerOf(object);
  const isOwnerLeaving = owner.metadata.deletionTimestamp !== undefined;
  if (controller !== undefined) {
    if (controller.uid !== owner.metadata.uid) {
      return "ignore";
    }
    if (isWanted) {
      return "keep";
    }
    // A deleted owner's objects are the garbage collector's.
    return isOwnerLeaving ? "ignore" : "release";
  }
  const isLeaving = object.metadata.deletionTimestamp !== undefined;
  return isWanted && !isOwnerLeaving && !isLeaving ? "adopt" : "ignore";
}

/**
 * Whether the owner, read anew from the server, still may adopt: same UID and not being deleted.
 * Its cached copy may be that of a deleted namesake.
 */
export async function mayAdopt<T extends KubeObject>(
  client: Client,
  descriptor: ResourceDescriptor<T>,
  owner: T,
  signal?: AbortSignal,
): Promise<boolean> {
  const { namespace, name = "", uid } = owner.metadata;
  const owners = client.resource(descriptor).namespace(namespace);
  const live = await owners.get(name, signal === undefined ? {} : { signal }).catch(ignoreNotFound);
  return live !== undefined && live.metadata.uid === uid && live.metadata.deletionTimestamp === undefined;
}

/**
 * Makes `owner` the controller of an object, with a patch that fails when the object was replaced or changed.
 * Ask `mayAdopt` before.
 * @throws ConflictError, NotFoundError
 */
export function adopt<T extends KubeObject>(
  client: Client,
  descriptor: ResourceDescriptor<T>,
  object: T,
  owner: KubeObject,
): Promise<T> {
  // A plain reference to the same owner becomes the controller's: two of one UID are invalid.
  const references = [...othersOf(object, owner), controllerReference(owner)];
  return writeReferences(client, descriptor, object, references);
}

/**
 * Takes the reference to `owner` off an object; others' stay.
 * @throws ConflictError, NotFoundError
 */
export function release<T extends KubeObject>(
  client: Client,
  descriptor: ResourceDescriptor<T>,
  object: T,
  owner: KubeObject,
): Promise<T> {
  return writeReferences(client, descriptor, object, othersOf(object, owner));
}

function othersOf(object: KubeObject, owner: KubeObject): readonly Readonly<OwnerReference>[] {
  return object.metadata.ownerReferences?.filter(({ uid }) => uid !== owner.metadata.uid) ?? [];
}

/** A merge patch replaces the whole array, so it carries the version that the array was read at. */
function writeReferences<T extends KubeObject>(
  client: Client,
  descriptor: ResourceDescriptor<T>,
  object: T,
  ownerReferences: readonly Readonly<OwnerReference>[],
): Promise<T> {
  const { name = "", namespace, uid, resourceVersion } = object.metadata;
  return client
    .resource(descriptor)
    .namespace(namespace)
    .patch(name, mergePatch({ metadata: { uid, resourceVersion, ownerReferences } }));
}

/** The key of an index by owner: `byIndex("owner", uid)`. */
export function ownerUids(object: KubeObject): readonly string[] {
  return object.metadata.ownerReferences?.map(({ uid }) => uid) ?? [];
}

/** True when the reference names an object of this kind, in whichever version. */
export function refersTo(reference: Readonly<OwnerReference>, descriptor: ResourceDescriptor): boolean {
  const group = (apiVersion: string) =>
    apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  return (
    reference.kind === descriptor.kind && group(reference.apiVersion) === group(apiVersionOf(descriptor))
  );
}
