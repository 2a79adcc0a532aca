/** The kinds that the operator reads and writes, as far as it does. */
import { DEVICE_KVM, KUBEVIRT_GROUP, KUBEVIRT_VERSION, LAUNCHER_CONTAINER } from "../api/names.ts";
import type { VirtualMachine } from "../api/virtual-machine.ts";
import type { VirtualMachineInstance } from "../api/virtual-machine-instance.ts";
import { describe, type ObjectMeta } from "../kube/objects.ts";
import type { Container, Pod } from "../kube/resources.ts";
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

/** Of the container only whether it was given KVM; shared by all pods. */
const WITH_KVM: Container[] = [{ name: LAUNCHER_CONTAINER, resources: { limits: { [DEVICE_KVM]: "1" } } }];
const WITHOUT_KVM: Container[] = [];

/** Keeps of a pod what `podFacts` reads: a launcher's spec alone would be most of the operator's memory. */
export function slimPod(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...slimMetadata(metadata),
      ...(metadata.deletionTimestamp === undefined ? {} : { deletionTimestamp: metadata.deletionTimestamp }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ...(metadata.ownerReferences === undefined ? {} : { ownerReferences: metadata.ownerReferences }),
      ...slimAnnotations(metadata),
    },
    spec: {
      containers: hasKvm(spec) ? WITH_KVM : WITHOUT_KVM,
      ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
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

const POD_CONDITIONS: readonly string[] = ["PodScheduled", "PodReadyToStartContainers"];

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
