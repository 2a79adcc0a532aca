/** What the API server's registry decides by kind, and which parts of an object a write may change. */
import type { ObjectMeta, ResourceDescriptor } from "../objects.ts";
import { equal, type Json, type JsonObject } from "./json.ts";
import type { Collection, Stored } from "./storage.ts";

/** Custom kinds and leases are replaced only at a version; the other built-in kinds that we serve need none. */
export function isUnconditional({ group }: ResourceDescriptor): boolean {
  const isBuiltIn = !group.includes(".") || group.endsWith(".k8s.io");
  return isBuiltIn && group !== "coordination.k8s.io";
}

/** Only a pod that has reached a kubelet is left to end by itself. */
export function graceSeconds(collection: Collection, object: Stored, asked: number | undefined): number {
  const { group, plural } = collection.descriptor;
  const spec = object.spec as { nodeName?: string; terminationGracePeriodSeconds?: number } | undefined;
  const phase = (object.status as { phase?: string } | undefined)?.phase;
  const isRunning = group === "" && plural === "pods" && spec?.nodeName !== undefined;
  return isRunning && phase !== "Succeeded" && phase !== "Failed"
    ? (asked ?? spec?.terminationGracePeriodSeconds ?? 30)
    : 0;
}

/** What a write to the status subresource stores: the status only. */
export function withStatus(stored: Stored, body: JsonObject): Stored {
  const { status: _, ...rest } = stored;
  const status = body["status"];
  return (status === undefined ? rest : { ...rest, status }) as Stored;
}

/** What any other write stores: all but the status, and of the metadata what clients may change. */
export function withoutStatus(stored: Stored, body: JsonObject, given: Partial<ObjectMeta>): Stored {
  const { status: _, metadata: __, ...rest } = body;
  const { uid, resourceVersion, creationTimestamp, name, namespace, generation } = stored.metadata;
  const { deletionTimestamp, deletionGracePeriodSeconds } = stored.metadata;
  const metadata: ObjectMeta = {
    ...given,
    name,
    ...(namespace !== undefined && { namespace }),
    uid,
    resourceVersion,
    creationTimestamp,
    ...(generation !== undefined && { generation }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    ...(deletionGracePeriodSeconds !== undefined && { deletionGracePeriodSeconds }),
  };
  const { metadata: ___, status, ...content } = stored;
  const next = { ...rest, apiVersion: stored.apiVersion, kind: stored.kind };
  const isChanged = !equal(content as unknown as Json, next as unknown as Json);
  return {
    ...next,
    metadata: isChanged ? { ...metadata, generation: (generation ?? 1) + 1 } : metadata,
    ...(status !== undefined && { status }),
  };
}
