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
import { BY_CLAIM, BY_UID, BY_VMI, type Caches, isPodOf, vmiKeysOf } from "../caches.ts";
import { VIRTUAL_MACHINE_INSTANCES } from "../kinds.ts";
import { type Claims, claimFacts, claimNames } from "./claims.ts";
import { isMountFailure, type MountFailure, mountFailure } from "./mount-failures.ts";
import { hasStarted, isFinal } from "./status.ts";

/** Claims, events and other VMIs on its claims that concern a VMI wake it. */
export function storageWatches(caches: Caches): Watch[] {
  return [
    watch(caches.vmis, (vmi: VirtualMachineInstance) => rivalsOf(caches, vmi).map(keyOf)),
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

/** Other VMIs that name a claim of this one's. */
function rivalsOf(
  { vmis }: Pick<Caches, "vmis">,
  { metadata, spec }: VirtualMachineInstance,
): VirtualMachineInstance[] {
  const { namespace, uid } = metadata;
  return claimNames(spec)
    .flatMap((name) => vmis.byIndex(BY_CLAIM, `${namespace}/${name}`))
    .filter((other) => other.metadata.uid !== uid);
}

/**
 * Other VMIs that have a claim of this one's, for as long as something of theirs may run.
 * @param starting UIDs, by key, of the VMIs that are being given their pods
 */
export function claimHolders(
  caches: Caches,
  vmi: VirtualMachineInstance,
  starting: ReadonlyMap<string, string>,
): VirtualMachineInstance[] {
  return rivalsOf(caches, vmi).filter((other) => {
    if (isFinal(other)) return false;
    const hasPod = caches.pods.byIndex(BY_VMI, keyOf(other)).some((pod) => isPodOf(pod, other));
    return hasPod || hasStarted(other) || starting.get(keyOf(other)) === other.metadata.uid;
  });
}

/** Rivals that have started, as the API server has them: a cache that is behind may show one as new. */
export async function startedRivals(
  caches: Pick<Caches, "vmis">,
  client: Client,
  vmi: VirtualMachineInstance,
  signal: AbortSignal,
): Promise<VirtualMachineInstance[]> {
  const live = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(vmi.metadata.namespace);
  const names = rivalsOf(caches, vmi).map(({ metadata }) => metadata.name ?? "");
  const rivals = await Promise.all(
    [...new Set(names)].map((name) => live.get(name, { signal }).catch(ignoreNotFound)),
  );
  return rivals
    .filter((rival) => rival !== undefined)
    .filter((rival) => hasStarted(rival) && !isFinal(rival));
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
