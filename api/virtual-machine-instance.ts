/** VirtualMachineInstance (vmi): one running incarnation of a virtual machine. */
import { Type } from "typebox";
import { accessCredentialsSchema } from "./access-credentials.ts";
import { domainSchema } from "./domain.ts";
import { networksSchema } from "./networks.ts";
import type { ObjectMeta } from "./object-meta.ts";
import { livenessProbeSchema, readinessProbeSchema } from "./probes.ts";
import {
  affinitySchema,
  dnsConfigSchema,
  nodeSelectorSchema,
  tolerationsSchema,
  topologySpreadConstraintsSchema,
} from "./scheduling.ts";
import { choice, type Data, DNS_LABEL_PATTERN, later, object, type Rule } from "./schema.ts";
import type { VirtualMachineInstanceStatus } from "./virtual-machine-instance-status.ts";
import { volumesSchema } from "./volumes.ts";

const DISKS = "self.domain.devices.disks";
const INTERFACES = "self.domain.devices.interfaces";

/** Every item of `list`, or every one that `picks` says so of, has one of the same name in `partners`. */
function eachHasPartner(
  list: string,
  partners: string,
  fieldPath: string,
  complaint: string,
  picks?: string,
): Rule {
  const alone = `!has(${partners}) || !${partners}.exists(other, other.name == it.name)`;
  const lonely = picks === undefined ? alone : `${picks} && (${alone})`;
  return {
    rule: `!has(${list}) || ${list}.all(it, !(${lonely}))`,
    messageExpression: `${list}.map(it, ${lonely}, it.name)[0] + '${complaint}'`,
    fieldPath,
  };
}

/** Every disk that `picks` says so of shows a volume that `fits`. */
function diskNeedsVolume(picks: string, fits: string, complaint: string): Rule {
  const misfit = `${picks} && has(self.volumes) && self.volumes.exists(volume, volume.name == it.name && !(${fits}))`;
  return {
    rule: `!has(${DISKS}) || ${DISKS}.all(it, !(${misfit}))`,
    messageExpression: `${DISKS}.map(it, ${misfit}, it.name)[0] + '${complaint}'`,
    fieldPath: ".domain.devices.disks",
  };
}

/** Keys that cloud-init brings into the guest need its volume. */
function keyNeedsVolume(method: string, volume: string): Rule {
  return {
    rule:
      "!has(self.accessCredentials) || !self.accessCredentials.exists(it, has(it.sshPublicKey) && " +
      `has(it.sshPublicKey.propagationMethod.${method})) || ` +
      `(has(self.volumes) && self.volumes.exists(volume, has(volume.${volume})))`,
    message: `propagationMethod ${method} needs a ${volume} volume`,
    fieldPath: ".accessCredentials",
  };
}

const SHOWN_ON_SATA =
  "!has(it.cdrom) && !has(it.lun) && (!has(it.disk) || !has(it.disk.bus) || it.disk.bus == 'sata')";

const READ_ONLY_CLAIM =
  "has(it.persistentVolumeClaim) && has(it.persistentVolumeClaim.readOnly) && it.persistentVolumeClaim.readOnly";

const MASQUERADES_OTHER =
  "has(it.masquerade) && has(self.networks) && self.networks.exists(network, network.name == it.name && !has(network.pod))";

export const virtualMachineInstanceSpecSchema = object(
  {
    domain: domainSchema,
    networks: Type.Optional(networksSchema),
    volumes: Type.Optional(volumesSchema),
    accessCredentials: Type.Optional(accessCredentialsSchema),
    terminationGracePeriodSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 31_536_000,
        format: "int64",
        description:
          "Seconds that the guest has to power off after the ACPI request; then it is destroyed. 0 destroys at once. Default: 30.",
      }),
    ),
    nodeSelector: Type.Optional(nodeSelectorSchema),
    affinity: Type.Optional(affinitySchema),
    tolerations: Type.Optional(tolerationsSchema),
    topologySpreadConstraints: Type.Optional(topologySpreadConstraintsSchema),
    priorityClassName: Type.Optional(
      Type.String({
        maxLength: 253,
        description: "PriorityClass of the launcher pod. Default: the cluster's.",
      }),
    ),
    schedulerName: Type.Optional(
      Type.String({ maxLength: 253, description: "Scheduler of the launcher pod. Default: the cluster's." }),
    ),
    hostname: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: DNS_LABEL_PATTERN,
        description: "Host name of the pod and of the guest, an RFC 1123 label. Default: the VMI's name.",
      }),
    ),
    subdomain: Type.Optional(
      Type.String({
        maxLength: 63,
        pattern: DNS_LABEL_PATTERN,
        description:
          "The guest's domain is <subdomain>.<namespace>.svc.<cluster domain>, where a headless Service has this name. Default: none.",
      }),
    ),
    dnsPolicy: Type.Optional(
      choice(["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], {
        description: "DNS of the launcher pod, which the guest is given by DHCP. Default: ClusterFirst.",
      }),
    ),
    dnsConfig: Type.Optional(dnsConfigSchema),
    architecture: Type.Optional(
      choice(["amd64"], { description: "Architecture of the guest. Default: amd64." }),
    ),
    readinessProbe: Type.Optional(readinessProbeSchema),
    livenessProbe: Type.Optional(livenessProbeSchema),
    startStrategy: Type.Optional(
      choice(["Paused"], {
        description: "Paused: the guest is created, but doesn't run until it is unpaused. Default: it runs.",
      }),
    ),
    evictionStrategy: Type.Optional(
      choice(["None", "External", "LiveMigrateIfPossible"], {
        description:
          "What an eviction of the pod does. None: the guest is shut down with it. LiveMigrateIfPossible: the same, as no guest can be moved yet. External: it is refused, and status.evacuationNodeName names the node while that is cordoned, for whoever moves the guest or stops it. Default: None.",
        refused: ["LiveMigrate"],
      }),
    ),
  },
  {
    description: "What is asked of a virtual machine while it runs.",
    refused: {
      resourceClaims: later("array"),
      utilityVolumes: later("array"),
      serviceAccountName: later("string"),
    },
    rules: [
      eachHasPartner(
        DISKS,
        "self.volumes",
        ".domain.devices.disks",
        ": a disk needs a volume of the same name in spec.volumes",
      ),
      eachHasPartner(
        "self.volumes",
        DISKS,
        ".volumes",
        ": the default disk, on the bus sata, can\\'t be read-only, as the claim is: list a disk of this name on virtio, scsi or usb, or a cdrom",
        READ_ONLY_CLAIM,
      ),
      eachHasPartner(
        INTERFACES,
        "self.networks",
        ".domain.devices.interfaces",
        ": an interface needs a network of the same name in spec.networks",
      ),
      eachHasPartner(
        "self.networks",
        INTERFACES,
        ".networks",
        ": a network needs an interface of the same name in spec.domain.devices.interfaces",
      ),
      {
        rule:
          "!has(self.networks) || self.networks.filter(network, has(network.pod) || " +
          "(has(network.multus) && has(network.multus.default) && network.multus.default)).size() <= 1",
        message: "only one network can be the pod's",
        fieldPath: ".networks",
      },
      {
        rule: `!has(${INTERFACES}) || ${INTERFACES}.all(it, !(${MASQUERADES_OTHER}))`,
        messageExpression: `${INTERFACES}.map(it, ${MASQUERADES_OTHER}, it.name)[0] + ': masquerade works on the pod network only: use bridge'`,
        fieldPath: ".domain.devices.interfaces",
      },
      {
        rule:
          "!has(self.networks) || self.networks.all(it, !has(it.pod) || !has(it.pod.vmNetworkCIDR) || " +
          `(has(${INTERFACES}) && ${INTERFACES}.exists(other, other.name == it.name && has(other.masquerade))))`,
        message: "vmNetworkCIDR belongs to the masquerade binding, which no interface of this network has",
        fieldPath: ".networks",
      },
      diskNeedsVolume(
        "has(it.lun)",
        "has(volume.persistentVolumeClaim)",
        ": a lun needs a persistentVolumeClaim, of volumeMode Block",
      ),
      diskNeedsVolume(
        "has(it.shareable) && it.shareable",
        "has(volume.persistentVolumeClaim) || has(volume.hostDisk)",
        ": a shareable disk needs a persistentVolumeClaim or a hostDisk",
      ),
      diskNeedsVolume(
        SHOWN_ON_SATA,
        "!has(volume.persistentVolumeClaim) || !has(volume.persistentVolumeClaim.readOnly) || !volume.persistentVolumeClaim.readOnly",
        ": a disk on the bus sata can\\'t be read-only, as its volume is: set bus to virtio, scsi or usb, or make it a cdrom",
      ),
      {
        rule:
          "!has(self.volumes) || self.volumes.all(it, !has(it.persistentVolumeClaim) || self.volumes.filter(other, " +
          "has(other.persistentVolumeClaim) && other.persistentVolumeClaim.claimName == it.persistentVolumeClaim.claimName).size() == 1)",
        message: "two volumes have the same persistentVolumeClaim",
        fieldPath: ".volumes",
      },
      {
        rule: "!has(self.volumes) || self.volumes.filter(it, has(it.serviceAccount)).size() <= 1",
        message: "only one volume can be a serviceAccount",
        fieldPath: ".volumes",
      },
      keyNeedsVolume("noCloud", "cloudInitNoCloud"),
      keyNeedsVolume("configDrive", "cloudInitConfigDrive"),
    ],
  },
);

export type VirtualMachineInstanceSpec = Data<typeof virtualMachineInstanceSpecSchema>;

export interface VirtualMachineInstance {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly spec: VirtualMachineInstanceSpec;
  readonly status?: VirtualMachineInstanceStatus;
}
