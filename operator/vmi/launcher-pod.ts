/** The launcher pod of a VMI: admitted by Pod Security `restricted`, one container, no API token; pure. */
import { createHash } from "node:crypto";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import {
  ANNOTATION_DOMAIN,
  DEVICE_KVM,
  DEVICE_LAUNCHER,
  DEVICE_TUN,
  ENV_LAUNCH_SPEC,
  FINALIZER_POD,
  KUBEVIRT_GROUP,
  KUBEVIRT_VERSION,
  LABEL_APP,
  LABEL_APP_LAUNCHER,
  LABEL_CREATED_BY,
  LABEL_VM_NAME,
  LAUNCH_SPEC_MAX_BYTES,
  LAUNCHER_CONTAINER,
  LAUNCHER_UID,
  labelValue,
} from "../../api/names.ts";
import type { Quantity } from "../../api/schema.ts";
import type { VirtualMachineInstance } from "../../api/virtual-machine-instance.ts";
import type { Draft } from "../../kube/objects.ts";
import type { Container, Pod, PodSpec, Probe, ResourceRequirements } from "../../kube/resources.ts";
import { parseQuantity } from "../../lib/quantity.ts";
import { OperatorError } from "../errors.ts";
import { attachedInterfaces } from "./interfaces.ts";
import { macAddressOf } from "./mac-address.ts";
import { overheadBytes } from "./memory.ts";
import { networkAnnotations } from "./multus.ts";
import { mebibytes, podStorage, tmpfsBytes } from "./pod-volumes.ts";

export interface LauncherPodOptions {
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never";
  readonly imagePullSecrets: readonly string[];
}

/** The kubelet kills after the pod's grace period; the launcher must have ended its guest before. */
const GRACE_MARGIN_SECONDS = 15;
/** Of the VMI's name in the pod's, which may be 253 characters long. */
const MAX_NAME_CHARACTERS = 232;
/** KubeVirt's cpuAllocationRatio: a vCPU requests a tenth of a CPU. */
const MILLICPU_PER_VCPU = 100;

/** Of the node's disk: logs, and the container's own files. KubeVirt's figure. */
const EPHEMERAL_STORAGE_BYTES = 50_000_000;

/** Deterministic, so that two operators, or one that restarts, can only ever make the same pod. */
export function launcherPodName(vmi: VirtualMachineInstance): string {
  const suffix = createHash("sha256")
    .update(vmi.metadata.uid ?? "")
    .digest("hex")
    .slice(0, 5);
  return `virt-launcher-${prefixOf(vmi.metadata.name ?? "", MAX_NAME_CHARACTERS)}-${suffix}`;
}

/** The start of a DNS name; one cut at a dot or hyphen would make the whole invalid. */
function prefixOf(name: string, maxCharacters: number): string {
  return name.slice(0, maxCharacters).replace(/[-.]+$/, "");
}

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
      ...schedulingOf(spec),
      ...pullSecretsOf(spec, options),
      containers: [
        {
          name: LAUNCHER_CONTAINER,
          image: options.image,
          ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
          env: [{ name: ENV_LAUNCH_SPEC, value: launchSpecText(launch) }],
          ...portsOf(spec),
          ...probesOf(spec),
          resources: resourcesOf(vmi, launch),
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

/** The kubelet asks at the pod's address, and so the guest. */
function probesOf(spec: VirtualMachineInstance["spec"]): Pick<Container, "readinessProbe" | "livenessProbe"> {
  const { readinessProbe, livenessProbe } = spec;
  return {
    ...(readinessProbe === undefined ? {} : { readinessProbe: structuredClone(readinessProbe) as Probe }),
    ...(livenessProbe === undefined ? {} : { livenessProbe: structuredClone(livenessProbe) as Probe }),
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

/** KubeVirt's mapping: what the user asked for plus what the machine itself needs. */
export function resourcesOf(vmi: VirtualMachineInstance, launch: LaunchSpec): ResourceRequirements {
  const { requests = {}, limits = {} } = vmi.spec.domain.resources ?? {};
  const { cpu } = launch.domain;
  const overhead = overheadBytes(launch.domain) + tmpfsBytes(vmi, launch);
  const devices: Record<string, string> = { [DEVICE_LAUNCHER]: "1" };
  if (launch.interfaces.length > 0) devices[DEVICE_TUN] = "1";
  if (launch.domain.accelerator === "kvm") devices[DEVICE_KVM] = "1";
  const memory = requests.memory === undefined ? launch.domain.memoryBytes : parseQuantity(requests.memory);
  return {
    requests: {
      cpu: String(
        requests.cpu ?? limits.cpu ?? `${MILLICPU_PER_VCPU * cpu.sockets * cpu.cores * cpu.threads}m`,
      ),
      memory: mebibytes(memory + overhead),
      ...ephemeralStorage(requests),
      ...devices,
    },
    limits: {
      ...(limits.cpu === undefined ? {} : { cpu: String(limits.cpu) }),
      ...(limits.memory === undefined ? {} : { memory: mebibytes(parseQuantity(limits.memory) + overhead) }),
      ...ephemeralStorage(limits),
      ...devices,
    },
  };
}

function ephemeralStorage({ "ephemeral-storage": bytes }: { readonly "ephemeral-storage"?: Quantity }) {
  return bytes === undefined
    ? {}
    : { "ephemeral-storage": String(Math.floor(parseQuantity(bytes)) + EPHEMERAL_STORAGE_BYTES) };
}
