/** Pods: the fields of core/v1 that we use. */
import { type Base, type Condition, of, type ResourceRequirements } from "./common.ts";

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string };
  terminated?: {
    exitCode: number;
    signal?: number;
    reason?: string;
    message?: string;
    startedAt?: string;
    finishedAt?: string;
    containerID?: string;
  };
}

export interface ContainerStatus {
  name: string;
  ready: boolean;
  restartCount: number;
  image: string;
  imageID: string;
  containerID?: string;
  started?: boolean;
  state?: ContainerState;
  lastState?: ContainerState;
  resources?: ResourceRequirements;
  allocatedResources?: Record<string, string>;
}

export interface Probe {
  exec?: { command?: string[] };
  httpGet?: {
    path?: string;
    port: number | string;
    host?: string;
    scheme?: string;
    httpHeaders?: { name: string; value: string }[];
  };
  tcpSocket?: { port: number | string; host?: string };
  grpc?: { port: number; service?: string };
  initialDelaySeconds?: number;
  timeoutSeconds?: number;
  periodSeconds?: number;
  successThreshold?: number;
  failureThreshold?: number;
}

export interface SecurityContext {
  runAsUser?: number;
  runAsGroup?: number;
  runAsNonRoot?: boolean;
  privileged?: boolean;
  readOnlyRootFilesystem?: boolean;
  allowPrivilegeEscalation?: boolean;
  capabilities?: { add?: string[]; drop?: string[] };
  seccompProfile?: { type: "RuntimeDefault" | "Unconfined" | "Localhost"; localhostProfile?: string };
  appArmorProfile?: { type: "RuntimeDefault" | "Unconfined" | "Localhost"; localhostProfile?: string };
}

export interface Container {
  name: string;
  image?: string;
  imagePullPolicy?: "Always" | "IfNotPresent" | "Never";
  command?: string[];
  args?: string[];
  workingDir?: string;
  env?: { name: string; value?: string; valueFrom?: object }[];
  ports?: { name?: string; containerPort: number; protocol?: string; hostPort?: number }[];
  resources?: ResourceRequirements;
  resizePolicy?: { resourceName: string; restartPolicy: "NotRequired" | "RestartContainer" }[];
  volumeMounts?: {
    name: string;
    mountPath: string;
    subPath?: string;
    readOnly?: boolean;
    mountPropagation?: string;
  }[];
  volumeDevices?: { name: string; devicePath: string }[];
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  lifecycle?: object;
  terminationMessagePath?: string;
  terminationMessagePolicy?: "File" | "FallbackToLogsOnError";
  securityContext?: SecurityContext;
  stdin?: boolean;
  tty?: boolean;
  /** Of an init container: one that is always restarted runs beside the others, as a sidecar. */
  restartPolicy?: "Always";
}

export interface Volume {
  name: string;
  emptyDir?: { medium?: string; sizeLimit?: string };
  secret?: {
    secretName?: string;
    items?: { key: string; path: string; mode?: number }[];
    optional?: boolean;
  };
  configMap?: { name?: string; items?: { key: string; path: string; mode?: number }[]; optional?: boolean };
  persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
  image?: { reference?: string; pullPolicy?: "Always" | "IfNotPresent" | "Never" };
  hostPath?: { path: string; type?: string };
  projected?: { sources?: object[]; defaultMode?: number };
  downwardAPI?: object;
  csi?: object;
  ephemeral?: object;
}

export interface Toleration {
  key?: string;
  operator?: "Exists" | "Equal";
  value?: string;
  effect?: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
  tolerationSeconds?: number;
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
  restartPolicy?: "Always" | "OnFailure" | "Never";
  terminationGracePeriodSeconds?: number;
  activeDeadlineSeconds?: number;
  nodeName?: string;
  nodeSelector?: Record<string, string>;
  affinity?: object;
  tolerations?: Toleration[];
  topologySpreadConstraints?: object[];
  schedulerName?: string;
  priorityClassName?: string;
  runtimeClassName?: string;
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
  enableServiceLinks?: boolean;
  hostname?: string;
  subdomain?: string;
  dnsPolicy?: string;
  dnsConfig?: object;
  imagePullSecrets?: { name?: string }[];
  securityContext?: SecurityContext & {
    fsGroup?: number;
    fsGroupChangePolicy?: string;
    supplementalGroups?: number[];
    sysctls?: { name: string; value: string }[];
  };
  hostNetwork?: boolean;
  hostUsers?: boolean;
  readinessGates?: { conditionType: string }[];
}

export interface Pod extends Base {
  spec: PodSpec;
  status?: {
    phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
    observedGeneration?: number;
    conditions?: Condition[];
    reason?: string;
    message?: string;
    hostIP?: string;
    podIP?: string;
    podIPs?: { ip: string }[];
    startTime?: string;
    qosClass?: "Guaranteed" | "Burstable" | "BestEffort";
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
    nominatedNodeName?: string;
  };
}

/** Body of the `eviction` subresource of a pod. */
export interface Eviction {
  apiVersion: "policy/v1";
  kind: "Eviction";
  metadata: { name: string; namespace: string };
  deleteOptions?: object;
}

export const PODS = of<Pod>("", "v1", "pods", "Pod", true);
