/** The disruption budget that keeps a VMI's pod from being evicted, as KubeVirt makes one for each such VMI; pure. */
import {
  KUBEVIRT_GROUP,
  KUBEVIRT_VERSION,
  LABEL_APP,
  LABEL_APP_LAUNCHER,
  LABEL_CREATED_BY,
} from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Draft } from "../../kube/objects.ts";
import type { PodDisruptionBudget } from "../../kube/resources.ts";
import { slimMetadata } from "../kinds.ts";
import { launcherPodName } from "./launcher-name.ts";

/** As deterministic as the pod's name, and as long. */
export function budgetName(vmi: VirtualMachineInstance): string {
  return launcherPodName(vmi).replace(/^virt-launcher-/, "virt-disrupt-");
}

/** Goes with its VMI. */
export function disruptionBudget(vmi: VirtualMachineInstance): Draft<PodDisruptionBudget> {
  const { name = "", namespace = "default", uid = "" } = vmi.metadata;
  return {
    metadata: {
      name: budgetName(vmi),
      namespace,
      labels: { [LABEL_APP]: LABEL_APP_LAUNCHER, [LABEL_CREATED_BY]: uid },
      ownerReferences: [
        {
          apiVersion: `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`,
          kind: "VirtualMachineInstance",
          name,
          uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: { minAvailable: 1, selector: { matchLabels: { [LABEL_CREATED_BY]: uid } } },
  };
}

/** Keeps what tells that it is there, and whose it is. */
export function slimBudget({ metadata }: PodDisruptionBudget): PodDisruptionBudget {
  const { ownerReferences } = metadata;
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { ...slimMetadata(metadata), ...(ownerReferences === undefined ? {} : { ownerReferences }) },
  };
}
