/** Descriptors and the parts we use of the built-in kinds. Fields as in the Kubernetes API, times as strings. */
import { describe, type KubeObject, type ObjectMeta } from "./objects.ts";

interface Base {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  observedGeneration?: number;
  lastTransitionTime?: string;
  lastProbeTime?: string | null;
  reason?: string;
  message?: string;
}

export interface ObjectReference {
  apiVersion?: string;
  kind?: string;
  namespace?: string;
  name?: string;
  uid?: string;
  resourceVersion?: string;
  fieldPath?: string;
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: {
    key: string;
    operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    values?: string[];
  }[];
}

export interface ResourceRequirements {
  requests?: Record<string, string>;
  limits?: Record<string, string>;
  claims?: { name: string; request?: string }[];
}

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
  httpGet?: { path?: string; port: number | string; host?: string; scheme?: string };
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

export interface Node extends Base {
  spec?: {
    unschedulable?: boolean;
    taints?: { key: string; value?: string; effect: string; timeAdded?: string }[];
    podCIDR?: string;
  };
  status?: {
    capacity?: Record<string, string>;
    allocatable?: Record<string, string>;
    conditions?: Condition[];
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

export interface Lease extends Base {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
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

export interface Service extends Base {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    selector?: Record<string, string>;
    ports?: {
      name?: string;
      port: number;
      targetPort?: number | string;
      protocol?: string;
      nodePort?: number;
    }[];
  };
}

export interface EndpointSlice extends Base {
  addressType: "IPv4" | "IPv6" | "FQDN";
  endpoints: {
    addresses: string[];
    conditions?: { ready?: boolean; serving?: boolean; terminating?: boolean };
    nodeName?: string;
    targetRef?: ObjectReference;
  }[];
  ports?: { name?: string; port?: number; protocol?: string; appProtocol?: string }[];
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

export interface ApiService extends Base {
  spec?: {
    group?: string;
    version?: string;
    groupPriorityMinimum: number;
    versionPriority: number;
    service?: { namespace?: string; name?: string; port?: number };
    caBundle?: string;
    insecureSkipTLSVerify?: boolean;
  };
  status?: { conditions?: Condition[] };
}

export interface CustomResourceDefinition extends Base {
  spec: {
    group: string;
    scope: "Namespaced" | "Cluster";
    names: {
      plural: string;
      singular?: string;
      kind: string;
      listKind?: string;
      shortNames?: string[];
      categories?: string[];
    };
    versions: {
      name: string;
      served: boolean;
      storage: boolean;
      schema?: { openAPIV3Schema?: object };
      subresources?: { status?: object; scale?: object };
      additionalPrinterColumns?: object[];
    }[];
    conversion?: { strategy: "None" | "Webhook"; webhook?: { clientConfig?: { caBundle?: string } } };
  };
  status?: { conditions?: Condition[]; storedVersions?: string[] };
}

interface Webhook {
  name: string;
  clientConfig: {
    caBundle?: string;
    url?: string;
    service?: { namespace: string; name: string; path?: string; port?: number };
  };
  rules?: object[];
  failurePolicy?: "Ignore" | "Fail";
  sideEffects: string;
  admissionReviewVersions: string[];
  timeoutSeconds?: number;
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
}
export interface ValidatingWebhookConfiguration extends Base {
  webhooks?: Webhook[];
}
export interface MutatingWebhookConfiguration extends Base {
  webhooks?: Webhook[];
}

/** Written, never stored: the answer is in the response of create. */
export interface TokenReview extends Base {
  spec: { token?: string; audiences?: string[] };
  status?: {
    authenticated?: boolean;
    audiences?: string[];
    error?: string;
    user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
  };
}

export interface SubjectAccessReview extends Base {
  spec: {
    user?: string;
    uid?: string;
    groups?: string[];
    extra?: Record<string, string[]>;
    resourceAttributes?: {
      namespace?: string;
      verb?: string;
      group?: string;
      version?: string;
      resource?: string;
      subresource?: string;
      name?: string;
    };
    nonResourceAttributes?: { path?: string; verb?: string };
  };
  status?: { allowed: boolean; denied?: boolean; reason?: string; evaluationError?: string };
}

/** Body of the `eviction` subresource of a pod. */
export interface Eviction {
  apiVersion: "policy/v1";
  kind: "Eviction";
  metadata: { name: string; namespace: string };
  deleteOptions?: object;
}

const of = <T extends KubeObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced: boolean,
) => describe<T>({ group, version, plural, kind, namespaced });

export const PODS = of<Pod>("", "v1", "pods", "Pod", true);
export const NODES = of<Node>("", "v1", "nodes", "Node", false);
export const EVENTS = of<CoreEvent>("", "v1", "events", "Event", true);
export const SECRETS = of<Secret>("", "v1", "secrets", "Secret", true);
export const CONFIG_MAPS = of<ConfigMap>("", "v1", "configmaps", "ConfigMap", true);
export const NAMESPACES = of<Namespace>("", "v1", "namespaces", "Namespace", false);
export const SERVICE_ACCOUNTS = of<ServiceAccount>("", "v1", "serviceaccounts", "ServiceAccount", true);
export const SERVICES = of<Service>("", "v1", "services", "Service", true);
export const PERSISTENT_VOLUME_CLAIMS = of<PersistentVolumeClaim>(
  "",
  "v1",
  "persistentvolumeclaims",
  "PersistentVolumeClaim",
  true,
);
export const ENDPOINT_SLICES = of<EndpointSlice>(
  "discovery.k8s.io",
  "v1",
  "endpointslices",
  "EndpointSlice",
  true,
);
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
export const API_SERVICES = of<ApiService>(
  "apiregistration.k8s.io",
  "v1",
  "apiservices",
  "APIService",
  false,
);
export const CUSTOM_RESOURCE_DEFINITIONS = of<CustomResourceDefinition>(
  "apiextensions.k8s.io",
  "v1",
  "customresourcedefinitions",
  "CustomResourceDefinition",
  false,
);
export const VALIDATING_WEBHOOK_CONFIGURATIONS = of<ValidatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingwebhookconfigurations",
  "ValidatingWebhookConfiguration",
  false,
);
export const MUTATING_WEBHOOK_CONFIGURATIONS = of<MutatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "mutatingwebhookconfigurations",
  "MutatingWebhookConfiguration",
  false,
);
export const TOKEN_REVIEWS = of<TokenReview>(
  "authentication.k8s.io",
  "v1",
  "tokenreviews",
  "TokenReview",
  false,
);
export const SUBJECT_ACCESS_REVIEWS = of<SubjectAccessReview>(
  "authorization.k8s.io",
  "v1",
  "subjectaccessreviews",
  "SubjectAccessReview",
  false,
);
