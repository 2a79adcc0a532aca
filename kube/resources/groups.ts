/** Kinds of which their groups have one that we use. */
import { type Base, type LabelSelector, of } from "./common.ts";

export interface Lease extends Base {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export interface PodDisruptionBudget extends Base {
  spec?: {
    minAvailable?: number | string;
    maxUnavailable?: number | string;
    selector?: LabelSelector;
    unhealthyPodEvictionPolicy?: string;
  };
  status?: {
    disruptionsAllowed?: number;
    currentHealthy?: number;
    desiredHealthy?: number;
    expectedPods?: number;
  };
}

export interface ControllerRevision extends Base {
  data?: unknown;
  revision: number;
}

export interface PriorityClass extends Base {
  value: number;
}

export interface StorageClass extends Base {
  provisioner: string;
  volumeBindingMode?: string;
}

export const LEASES = of<Lease>("coordination.k8s.io", "v1", "leases", "Lease", true);

export const POD_DISRUPTION_BUDGETS = of<PodDisruptionBudget>(
  "policy",
  "v1",
  "poddisruptionbudgets",
  "PodDisruptionBudget",
  true,
);

export const CONTROLLER_REVISIONS = of<ControllerRevision>(
  "apps",
  "v1",
  "controllerrevisions",
  "ControllerRevision",
  true,
);

export const PRIORITY_CLASSES = of<PriorityClass>(
  "scheduling.k8s.io",
  "v1",
  "priorityclasses",
  "PriorityClass",
  false,
);

export const STORAGE_CLASSES = of<StorageClass>(
  "storage.k8s.io",
  "v1",
  "storageclasses",
  "StorageClass",
  false,
);
