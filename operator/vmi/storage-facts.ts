/** What is known of a VMI's storage: its claims, and what the kubelet says of its pod's volumes. */
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Client } from "../../kube/client.ts";
import { type Watch, watch } from "../../kube/controller.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import { keyOf } from "../../kube/objects.ts";
import {
  type CoreEvent,
  PERSISTENT_VOLUME_CLAIMS,
  type PersistentVolumeClaim,
  type Pod,
} from "../../kube/resources.ts";
import { BY_CLAIM, BY_UID, type Caches, vmiKeysOf } from "../caches.ts";
import { type Claims, claimFacts, claimNames } from "./claims.ts";
import { isMountFailure, type MountFailure, mountFailure } from "./mount-failures.ts";

/** Claims and events that concern a VMI wake it. */
export function storageWatches(caches: Caches): Watch[] {
  return [
    watch(caches.claims, (claim: PersistentVolumeClaim) =>
      caches.vmis.byIndex(BY_CLAIM, keyOf(claim)).map(keyOf),
    ),
    watch(caches.mountEvents, (event: CoreEvent) =>
      isMountFailure(event) ? vmiKeysOf(caches, event.involvedObject.uid ?? "") : [],
    ),
  ];
}

/**
 * The claims that a VMI names.
 * @param isSure ask the API server before one is called missing: a start must not be refused for a cache that is behind
 */
export async function claimsOf(
  caches: Caches,
  client: Client,
  { metadata: { namespace }, spec }: VirtualMachineInstance,
  isSure: boolean,
  signal: AbortSignal,
): Promise<Claims> {
  const live = client.resource(PERSISTENT_VOLUME_CLAIMS).namespace(namespace);
  const found = claimNames(spec).map(async (name) => {
    const cached = caches.claims.get(`${namespace}/${name}`);
    const claim = cached ?? (isSure ? await live.get(name, { signal }).catch(ignoreNotFound) : undefined);
    return claim === undefined ? [] : [[name, claimFacts(claim)] as const];
  });
  return new Map((await Promise.all(found)).flat());
}

/** What keeps the volumes of a VMI's pods from being mounted. */
export function mountFailureOf(
  { mountEvents }: Caches,
  { spec }: VirtualMachineInstance,
  pods: readonly Pod[],
): MountFailure | undefined {
  return mountFailure(
    spec,
    pods.flatMap(({ metadata }) => mountEvents.byIndex(BY_UID, metadata.uid)),
  );
}
