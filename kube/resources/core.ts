/** Other kinds of the core group. */
import { type Base, type Condition, type ObjectReference, of } from "./common.ts";

export interface Node extends Base {
  spec?: {
    unschedulable?: boolean;
    taints?: { key: string; value?: string; effect: string; timeAdded?: string }[];
    podCIDR?: string;
  };
  status?: {
    capacity?: Record<string, string>;
    allocatable?: Record<string, string>;
    conditions?: (Condition & { lastHeartbeatTime?: string })[];
    addresses?: { type: string; address: string }[];
    nodeInfo?: Record<string, unknown>;
  };
}

/** A core/v1 Event. */
export interface CoreEvent extends Base {
  involvedObject: ObjectReference;
  related?: ObjectReference;
  reason?: string;
  message?: string;
  type?: string;
  action?: string;
  count?: number;
  firstTimestamp?: string | null;
  lastTimestamp?: string | null;
  eventTime?: string | null;
  source?: { component?: string; host?: string };
  reportingComponent?: string;
  reportingInstance?: string;
}

export interface Secret extends Base {
  type?: string;
  immutable?: boolean;
  /** Base64. */
  data?: Record<string, string>;
  stringData?: Record<string, string>;
}

export interface ConfigMap extends Base {
  immutable?: boolean;
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
}

export interface Namespace extends Base {
  status?: { phase?: string };
}

export interface ServiceAccount extends Base {
  automountServiceAccountToken?: boolean;
}

export interface PersistentVolumeClaim extends Base {
  spec?: {
    accessModes?: string[];
    volumeMode?: "Filesystem" | "Block";
    storageClassName?: string;
    volumeName?: string;
    resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
  };
  status?: {
    phase?: "Pending" | "Bound" | "Lost";
    capacity?: Record<string, string>;
    accessModes?: string[];
  };
}

export const NODES = of<Node>("", "v1", "nodes", "Node", false);

export const EVENTS = of<CoreEvent>("", "v1", "events", "Event", true);

export const SECRETS = of<Secret>("", "v1", "secrets", "Secret", true);

export const CONFIG_MAPS = of<ConfigMap>("", "v1", "configmaps", "ConfigMap", true);

export const NAMESPACES = of<Namespace>("", "v1", "namespaces", "Namespace", false);

export const SERVICE_ACCOUNTS = of<ServiceAccount>("", "v1", "serviceaccounts", "ServiceAccount", true);

export const PERSISTENT_VOLUME_CLAIMS = of<PersistentVolumeClaim>(
  "",
  "v1",
  "persistentvolumeclaims",
  "PersistentVolumeClaim",
  true,
);
