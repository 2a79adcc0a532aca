/** What every Kubernetes object has in common, and how we name one. */

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ManagedFieldsEntry {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: unknown;
  subresource?: string;
}

/** metadata as the API server returns it. Times are RFC 3339 strings, as on the wire. */
export interface ObjectMeta {
  name: string;
  /** Absent from cluster-scoped objects. */
  namespace?: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  generation?: number;
  generateName?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  managedFields?: ManagedFieldsEntry[];
}

/** The least that the machinery asks of a type: `ObjectMeta` fits, and so does a type with optional fields. */
export interface KubeObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata: {
    readonly name?: string | undefined;
    readonly generateName?: string | undefined;
    readonly namespace?: string | undefined;
    readonly uid?: string | undefined;
    readonly resourceVersion?: string | undefined;
    readonly generation?: number | undefined;
    readonly creationTimestamp?: string | undefined;
    readonly deletionTimestamp?: string | undefined;
    readonly labels?: { readonly [key: string]: string } | undefined;
    readonly annotations?: { readonly [key: string]: string } | undefined;
    readonly finalizers?: readonly string[] | undefined;
    readonly ownerReferences?: readonly Readonly<OwnerReference>[] | undefined;
  };
}

/** An object to be written: the server fills in the rest. `apiVersion` and `kind` come from the descriptor. */
export type Draft<T extends KubeObject> = Omit<T, "apiVersion" | "kind" | "metadata" | "status"> &
  Partial<Pick<T, keyof T & ("apiVersion" | "kind" | "status")>> & {
    /** Undefined fields are not sent. */
    metadata: { [K in keyof T["metadata"]]?: T["metadata"][K] | undefined };
  };

/** Where a kind lives in the API. `T` is the type of its objects. */
export interface ResourceDescriptor<T extends KubeObject = KubeObject> {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set; it ties the type to the descriptor. */
  readonly type?: T;
}

/** Declares where the objects of type `T` live. */
export function describe<T extends KubeObject>(
  descriptor: Omit<ResourceDescriptor<T>, "type">,
): ResourceDescriptor<T> {
  return Object.freeze(descriptor);
}

/** `group/version`, or `version` for the core group. */
export function apiVersionOf(descriptor: ResourceDescriptor): string {
  return descriptor.group === "" ? descriptor.version : `${descriptor.group}/${descriptor.version}`;
}

/** `plural.group`, as RBAC and metrics name a resource. */
export function resourceName(descriptor: ResourceDescriptor): string {
  return descriptor.group === "" ? descriptor.plural : `${descriptor.plural}.${descriptor.group}`;
}

/** The key of an object in stores and queues: `namespace/name`, or `name` when it has no namespace. */
export function keyOf(object: KubeObject): string {
  return makeKey(object.metadata.namespace, object.metadata.name ?? "");
}

export function makeKey(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

/** The reverse of `makeKey`; `namespace` is undefined for a cluster-scoped object. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/**
 * Orders two resourceVersions of one resource: negative, zero or positive.
 * They are decimal integers of any size since Kubernetes 1.35 (KEP-5504), without leading zeros.
 */
export function compareResourceVersions(a: string, b: string): number {
  if (a.length !== b.length) {
    return a.length - b.length;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Freezes an object and all in it, so that a test fails where code writes to the cache. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) {
      deepFreeze(child);
    }
  }
  return value;
}
