/** The launcher pod of a VMI: admitted by Pod Security `restricted`, one container, no API token; pure. */
import { DEFAULT_CONFIGURATION } from "../../api/configuration.ts";
import { instanceId } from "../../api/instance-id.ts";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import {
  ANNOTATION_DOMAIN,
  CONDITION_UNPAUSED,
  ENV_LAUNCH_SPEC,
  ENV_NODE_NAME,
  FINALIZER_POD,
  KUBEVIRT_GROUP,
  KUBEVIRT_VERSION,
  LABEL_APP,
  LABEL_APP_LAUNCHER,
  LABEL_CREATED_BY,
  LABEL_INSTANCE_ID,
  LABEL_VM_NAME,
  LAUNCH_SPEC_MAX_BYTES,
  LAUNCHER_CONTAINER,
  LAUNCHER_UID,
  labelValue,
} from "../../api/names.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Draft } from "../../kube/objects.ts";
import type { Container, Pod, PodSpec } from "../../kube/resources.ts";
import { OperatorError } from "../errors.ts";
import { attachedInterfaces } from "./interfaces.ts";
import { launcherPodName } from "./launcher-name.ts";
import { macAddressOf } from "./mac-address.ts";
import { networkAnnotations } from "./multus.ts";
import { podStorage } from "./pod-volumes.ts";
import { probesOf } from "./probes.ts";
import { type Overcommit, resourcesOf } from "./resources.ts";

export interface LauncherPodOptions {
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never";
  readonly imagePullSecrets: readonly string[];
  /** KubeVirt's defaults unless told. */
  readonly overcommit?: Overcommit;
}

/** The kubelet kills after the pod's grace period; the launcher must have ended its guest before. */
const GRACE_MARGIN_SECONDS = 15;

/**
 * The pod as it is to be created.
 * @throws OperatorError LaunchSpecTooLarge
 */
export function launcherPod(
  vmi: VirtualMachineInstance,
  launch: LaunchSpec,
  options: LauncherPodOptions,
): Draft<Pod> {
  const { spec } = vmi;
  const storage = podStorage(vmi, launch);
  const serviceAccount = spec.volumes?.find((volume) => volume.serviceAccount !== undefined)?.serviceAccount;
  return {
    metadata: {
      name: launcherPodName(vmi),
      namespace: vmi.metadata.namespace ?? "default",
      labels: {
        ...vmi.metadata.labels,
        [LABEL_APP]: LABEL_APP_LAUNCHER,
        [LABEL_CREATED_BY]: vmi.metadata.uid ?? "",
        [LABEL_VM_NAME]: labelValue(vmi.metadata.name ?? ""),
        [LABEL_INSTANCE_ID]: instanceId(vmi.metadata.name ?? ""),
      },
      annotations: {
        ...passedOn(vmi.metadata.annotations),
        ...annotationsOf(vmi),
        [ANNOTATION_DOMAIN]: vmi.metadata.name ?? "",
        "kubectl.kubernetes.io/default-container": LAUNCHER_CONTAINER,
      },
      finalizers: [FINALIZER_POD],
      ownerReferences: [
        {
          apiVersion: `${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`,
          kind: "VirtualMachineInstance",
          name: vmi.metadata.name ?? "",
          uid: vmi.metadata.uid ?? "",
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount.serviceAccountName }),
      enableServiceLinks: false,
      hostname: launch.hostname,
      ...(spec.subdomain === undefined ? {} : { subdomain: spec.subdomain }),
      terminationGracePeriodSeconds: launch.gracePeriodSeconds + GRACE_MARGIN_SECONDS,
      securityContext: {
        runAsUser: LAUNCHER_UID,
        runAsGroup: LAUNCHER_UID,
        fsGroup: LAUNCHER_UID,
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
        // DHCP is served from port 67 by a process without any capability.
        sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
      },
      // A paused guest answers nobody. One that is paused later fails its readinessProbe; a gate would be a write more per start.
      ...(launch.startPaused ? { readinessGates: [{ conditionType: CONDITION_UNPAUSED }] } : {}),
      ...schedulingOf(spec),
      ...pullSecretsOf(spec, options),
      containers: [
        {
          name: LAUNCHER_CONTAINER,
          image: options.image,
          ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
          env: environmentOf(launch),
          ...portsOf(spec),
          ...probesOf(spec),
          resources: resourcesOf(vmi, launch, options.overcommit ?? DEFAULT_CONFIGURATION),
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
          volumeMounts: storage.mounts,
          ...(storage.devices.length === 0 ? {} : { volumeDevices: storage.devices }),
        },
      ],
      volumes: storage.volumes,
    },
  };
}

/** @throws OperatorError LaunchSpecTooLarge */
function environmentOf(launch: LaunchSpec): NonNullable<Container["env"]> {
  const spec = { name: ENV_LAUNCH_SPEC, value: launchSpecText(launch) };
  if (launch.domain.cpu.dedicated === undefined) return [spec];
  return [spec, { name: ENV_NODE_NAME, valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }];
}

/** @throws OperatorError LaunchSpecTooLarge */
function launchSpecText(launch: LaunchSpec): string {
  const text = JSON.stringify(launch);
  const bytes = Buffer.byteLength(text);
  if (bytes > LAUNCH_SPEC_MAX_BYTES) {
    throw new OperatorError(
      "LaunchSpecTooLarge",
      `the VMI resolves to ${bytes} bytes, more than the ${LAUNCH_SPEC_MAX_BYTES} that fit into a pod's environment`,
    );
  }
  return text;
}

/** The bridge passes every port; what the user lists is told to whoever reads the pod, as KubeVirt does. */
function portsOf(spec: VirtualMachineInstance["spec"]): Pick<Container, "ports"> {
  const listed = (spec.domain.devices.interfaces ?? []).flatMap((one) => one.ports ?? []);
  if (listed.length === 0) return {};
  return {
    ports: listed.map(({ name, port, protocol }) => ({
      containerPort: port,
      protocol: protocol ?? "TCP",
      ...(name === undefined ? {} : { name }),
    })),
  };
}

/** By which the pod asks for networks besides the cluster's. */
function annotationsOf(vmi: VirtualMachineInstance): Readonly<Record<string, string>> {
  const attached = attachedInterfaces(vmi.spec);
  return networkAnnotations(
    attached.map(({ network }) => network),
    new Map(attached.map((one) => [one.network.name, macAddressOf(vmi, one)])),
    vmi.metadata.namespace ?? "default",
  );
}

/** kubectl's own bookkeeping of the VM is none of the pod's. */
function passedOn(annotations: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(annotations).filter(
      ([name]) =>
        !name.startsWith("virtpod.io/") && name !== "kubectl.kubernetes.io/last-applied-configuration",
    ),
  );
}

function schedulingOf(spec: VirtualMachineInstance["spec"]): Partial<PodSpec> {
  const { nodeSelector, affinity, tolerations, topologySpreadConstraints } = spec;
  const { priorityClassName, schedulerName, dnsPolicy, dnsConfig } = spec;
  return Object.fromEntries(
    Object.entries({
      nodeSelector,
      affinity,
      tolerations,
      topologySpreadConstraints,
      priorityClassName,
      schedulerName,
      dnsPolicy,
      dnsConfig,
    }).filter(([, value]) => value !== undefined),
  );
}

function pullSecretsOf(spec: VirtualMachineInstance["spec"], { imagePullSecrets }: LauncherPodOptions) {
  const names = new Set(imagePullSecrets);
  for (const volume of spec.volumes ?? []) {
    if (volume.containerDisk?.imagePullSecret !== undefined) names.add(volume.containerDisk.imagePullSecret);
  }
  const kernelSecret = spec.domain.firmware?.kernelBoot?.container?.imagePullSecret;
  if (kernelSecret !== undefined) names.add(kernelSecret);
  return names.size === 0 ? {} : { imagePullSecrets: [...names].map((name) => ({ name })) };
}
