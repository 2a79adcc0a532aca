/** The VMI that a VM's template becomes; pure. */
import {
  ANNOTATION_STARTED_TEMPLATE,
  ANNOTATION_VM_GENERATION,
  FINALIZER_VMI,
  KUBEVIRT_GROUP,
  KUBEVIRT_VERSION,
  LABEL_VM_NAME,
  labelValue,
} from "../../api/names.ts";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import { withDefaultDisks } from "../vmi/default-disks.ts";

/**
 * Everything in one write: owner, finalizer and the template as it is started.
 * @param paused the guest waits to be unpaused, whatever the template says
 */
export function instanceOf(vm: VirtualMachine, paused = false) {
  const { template } = vm.spec;
  // As KubeVirt shows them: who reads a VMI finds its disks there.
  const spec = withDefaultDisks(template.spec);
  const name = vm.metadata.name ?? "";
  return {
    metadata: {
      name,
      namespace: vm.metadata.namespace ?? "default",
      labels: { ...template.metadata?.labels, [LABEL_VM_NAME]: labelValue(name) },
      annotations: {
        ...template.metadata?.annotations,
        [ANNOTATION_VM_GENERATION]: String(vm.metadata.generation ?? 0),
        [ANNOTATION_STARTED_TEMPLATE]: JSON.stringify(template),
      },
      finalizers: [FINALIZER_VMI],
      ownerReferences: [
        {
          apiVersion: `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`,
          kind: "VirtualMachine",
          name,
          uid: vm.metadata.uid ?? "",
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: paused ? { ...spec, startStrategy: "Paused" as const } : spec,
  };
}
