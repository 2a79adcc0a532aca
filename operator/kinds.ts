/** The kinds that the operator reads and writes, as far as it does. */
import {
  CONDITION_UNPAUSED,
  DEVICE_KVM,
  KUBEVIRT_GROUP,
  KUBEVIRT_VERSION,
  LAUNCHER_CONTAINER,
} from "../api/names.ts";
import type { VirtualMachine } from "../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../api/virtual-machine-instance.ts";
import { LruMap } from "../kube/lru.ts";
import { describe, type ObjectMeta } from "../kube/objects.ts";
import type { Container, Node, Pod } from "../kube/resources.ts";
import { ANNOTATION_NETWORK_STATUS } from "./vmi/multus.ts";

export const VIRTUAL_MACHINES = describe<VirtualMachine>({
  group: KUBEVIRT_GROUP,
  version: KUBEVIRT_VERSION,
  plural: "virtualmachines",
  kind: "VirtualMachine",
  namespaced: true,
});

export const VIRTUAL_MACHINE_INSTANCES = describe<VirtualMachineInstance>({
  group: KUBEVIRT_GROUP,
  version: KUBEVIRT_VERSION,
  plural: "virtualmachineinstances",
  kind: "VirtualMachineInstance",
  namespaced: true,
});

/** Keeps what names an object and tells one of that name from the next. */
export function slimMetadata(metadata: ObjectMeta): ObjectMeta {
  const { name, uid, resourceVersion, creationTimestamp, namespace } = metadata;
  return {
    name,
    uid,
    resourceVersion,
    creationTimestamp,
    ...(namespace === undefined ? {} : { namespace }),
  };
}

/** What pods have alike is kept once; so many different ones at most. */
const CONTAINERS = new LruMap<string, Container[]>(4096);

/** Of the containers only their image and CPU, and whether the launcher was given KVM. */
function slimContainers(containers: readonly Container[]): Container[] {
  const slim = containers.map(({ image, name, resources, restartPolicy }): Container => {
    const isLauncher = name === LAUNCHER_CONTAINER;
    const { [DEVICE_KVM]: kvm, cpu: limit } = resources?.limits ?? {};
    const request = resources?.requests?.["cpu"];
    const limits = {
      ...(limit === undefined ? {} : { cpu: limit }),
      ...(kvm === undefined ? {} : { [DEVICE_KVM]: kvm }),
    };
    return {
      name,
      ...(image === undefined || !isLauncher ? {} : { image }),
      resources: { limits, ...(request === undefined ? {} : { requests: { cpu: request } }) },
      ...(restartPolicy === undefined ? {} : { restartPolicy }),
    };
  });
  const key = JSON.stringify(slim);
  const shared = CONTAINERS.get(key) ?? slim;
  CONTAINERS.set(key, shared);
  return shared;
}

export function launcherImageOf({ containers }: Pod["spec"]): string | undefined {
  return containers.find(({ name }) => name === LAUNCHER_CONTAINER)?.image;
}

/** Keeps of a pod what `podFacts` reads: a launcher's spec alone would be most of the operator's memory. */
export function slimPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...slimMetadata(metadata),
      ...(metadata.deletionTimestamp === undefined ? {} : { deletionTimestamp: metadata.deletionTimestamp }),
      ...(metadata.deletionGracePeriodSeconds === undefined
        ? {}
        : { deletionGracePeriodSeconds: metadata.deletionGracePeriodSeconds }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ...(metadata.ownerReferences === undefined ? {} : { ownerReferences: metadata.ownerReferences }),
      ...slimAnnotations(metadata),
    },
    spec: {
      containers: slimContainers(spec.containers),
      ...(spec.initContainers === undefined ? {} : { initContainers: slimContainers(spec.initContainers) }),
      ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
      ...(isGated(spec) ? { readinessGates: UNPAUSED_GATE } : {}),
    },
    ...(status === undefined ? {} : { status: slimStatus(status) }),
  };
}

function slimAnnotations({ annotations }: ObjectMeta): Pick<ObjectMeta, "annotations"> {
  const status = annotations?.[ANNOTATION_NETWORK_STATUS];
  return status === undefined ? {} : { annotations: { [ANNOTATION_NETWORK_STATUS]: status } };
}

export function hasKvm({ containers }: Pod["spec"]): boolean {
  return containers.some(({ resources }) => resources?.limits?.[DEVICE_KVM] !== undefined);
}

const UNPAUSED_GATE = [{ conditionType: CONDITION_UNPAUSED }];

/** Its guest starts paused. */
export function isGated({ readinessGates }: Pod["spec"]): boolean {
  return readinessGates?.some(({ conditionType }) => conditionType === CONDITION_UNPAUSED) ?? false;
}

const POD_CONDITIONS: readonly string[] = [
  "PodScheduled",
  "PodReadyToStartContainers",
  "DisruptionTarget",
  "PodResizePending",
  "PodResizeInProgress",
  CONDITION_UNPAUSED,
];

function slimStatus(status: NonNullable<Pod["status"]>): NonNullable<Pod["status"]> {
  const { phase, reason, message, podIP, qosClass, conditions, containerStatuses } = status;
  return {
    ...(phase === undefined ? {} : { phase }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(podIP === undefined ? {} : { podIP }),
    ...(qosClass === undefined ? {} : { qosClass }),
    conditions: (conditions ?? []).filter(({ type }) => POD_CONDITIONS.includes(type)),
    containerStatuses: containerStatuses ?? [],
  };
}

/** Keeps of a node its labels and what `nodeHealth` reads: its heartbeats and images are most of it. */
export function slimNode({ metadata, spec, status }: Node): Node {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const { type, status: is, reason, message, lastTransitionTime } = ready ?? {};
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      ...slimMetadata(metadata),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
    },
    spec: spec?.unschedulable === true ? { unschedulable: true } : {},
    status: {
      conditions:
        type === undefined || is === undefined
          ? []
          : [
              {
                type,
                status: is,
                ...(reason === undefined ? {} : { reason }),
                ...(message === undefined ? {} : { message }),
                ...(lastTransitionTime === undefined ? {} : { lastTransitionTime }),
              },
            ],
    },
  };
}
