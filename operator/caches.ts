/** The operator's informers: one watch per kind, whoever reads it. */
import { LABEL_APP, LABEL_APP_LAUNCHER } from "../api/names.ts";
import type { VirtualMachine } from "../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../api/virtual-machine-instance.ts";
import type { Client } from "../kube/client.ts";
import { Informer } from "../kube/informer.ts";
import type { Logger } from "../kube/logger.ts";
import type { KubeMetrics } from "../kube/metrics.ts";
import type { KubeObject } from "../kube/objects.ts";
import { controllerOf, isControlledBy } from "../kube/ownership.ts";
import {
  type CoreEvent,
  EVENTS,
  NODES,
  type Node,
  PERSISTENT_VOLUME_CLAIMS,
  type PersistentVolumeClaim,
  POD_DISRUPTION_BUDGETS,
  PODS,
  type Pod,
  type PodDisruptionBudget,
} from "../kube/resources.ts";
import type { Clock } from "../lib/clock.ts";
import { slimNode, slimPod, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "./kinds.ts";
import { claimNames, slimClaim } from "./vmi/claims.ts";
import { slimBudget } from "./vmi/disruption-budget.ts";
import { launcherPodName, vmiNameOfPod } from "./vmi/launcher-name.ts";
import { MOUNT_EVENTS, slimEvent } from "./vmi/mount-failures.ts";

export interface Caches {
  readonly vms: Informer<VirtualMachine>;
  /** Indexed by the keys of the claims that their volumes use. */
  readonly vmis: Informer<VirtualMachineInstance>;
  /** Launcher pods only, cut down; indexed by UID, by node, and by the key of the VMI that controls them. */
  readonly pods: Informer<Pod>;
  /** Everybody's, cut down: a VMI may name any of its namespace. */
  readonly claims: Informer<PersistentVolumeClaim>;
  /** What goes wrong with pods before they run, cut down; indexed by the pod's UID. */
  readonly mountEvents: Informer<CoreEvent>;
  /** Cut down to what tells whether they are lost or being cleared. */
  readonly nodes: Informer<Node>;
  /** Those that keep launcher pods from being evicted, cut down. */
  readonly budgets: Informer<PodDisruptionBudget>;
}

/** All of them, to be run and waited for. */
export function informersOf(caches: Caches): Pick<Informer<KubeObject>, "name" | "run" | "waitForSync">[] {
  return Object.values(caches);
}

export const BY_UID = "uid";
export const BY_NODE = "node";
export const BY_VMI = "vmi";
export const BY_CLAIM = "claim";

/** Key of the VMI that a launcher pod was made for: its controller, or, where somebody took that away, by its name. */
export function vmiKeyOf(pod: Pod): string | undefined {
  const { name, namespace } = pod.metadata;
  const owner = controllerOf(pod);
  const vmi = owner === undefined ? vmiNameOfPod(name) : owner.name;
  if (vmi === undefined || (owner !== undefined && owner.kind !== VIRTUAL_MACHINE_INSTANCES.kind))
    return undefined;
  return `${namespace}/${vmi}`;
}

/** The pod was made for this VMI. One that has lost its owner still runs that guest, and nobody but us makes launcher pods. */
export function isPodOf(pod: Pod, vmi: VirtualMachineInstance): boolean {
  if (controllerOf(pod) === undefined) return pod.metadata.name === launcherPodName(vmi);
  return isControlledBy(pod, vmi);
}

/** Keys of the VMIs, one at most, whose launcher pod has this UID. */
export function vmiKeysOf({ pods }: Pick<Caches, "pods">, podUid: string): string[] {
  return pods
    .byIndex(BY_UID, podUid)
    .map(vmiKeyOf)
    .filter((key) => key !== undefined);
}

/** @param options for tests: `freeze` makes a write to a cached object throw */
export function makeCaches(
  client: Client,
  logger: Logger,
  metrics: KubeMetrics,
  options: { readonly freeze?: boolean; readonly clock?: Clock } = {},
): Caches {
  return {
    vms: new Informer({ resource: client.resource(VIRTUAL_MACHINES), logger, metrics, ...options }),
    vmis: new Informer({
      resource: client.resource(VIRTUAL_MACHINE_INSTANCES),
      indexers: {
        [BY_CLAIM]: ({ metadata, spec }) => claimNames(spec).map((name) => `${metadata.namespace}/${name}`),
      },
      logger,
      metrics,
      ...options,
    }),
    pods: new Informer({
      resource: client.resource(PODS),
      labelSelector: `${LABEL_APP}=${LABEL_APP_LAUNCHER}`,
      transform: slimPod,
      indexers: {
        [BY_UID]: (pod) => [pod.metadata.uid],
        [BY_NODE]: (pod) => (pod.spec.nodeName === undefined ? [] : [pod.spec.nodeName]),
        [BY_VMI]: (pod) => {
          const key = vmiKeyOf(pod);
          return key === undefined ? [] : [key];
        },
      },
      logger,
      metrics,
      ...options,
    }),
    claims: new Informer({
      resource: client.resource(PERSISTENT_VOLUME_CLAIMS),
      transform: slimClaim,
      logger,
      metrics,
      ...options,
    }),
    mountEvents: new Informer({
      resource: client.resource(EVENTS),
      fieldSelector: MOUNT_EVENTS,
      transform: slimEvent,
      indexers: { [BY_UID]: ({ involvedObject }) => [involvedObject.uid].filter((uid) => uid !== undefined) },
      logger,
      metrics,
      ...options,
    }),
    nodes: new Informer({
      resource: client.resource(NODES),
      transform: slimNode,
      logger,
      metrics,
      ...options,
    }),
    budgets: new Informer({
      resource: client.resource(POD_DISRUPTION_BUDGETS),
      labelSelector: `${LABEL_APP}=${LABEL_APP_LAUNCHER}`,
      transform: slimBudget,
      logger,
      metrics,
      ...options,
    }),
  };
}
