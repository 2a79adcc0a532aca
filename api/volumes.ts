/** `spec.volumes[]`: where a disk's bytes come from. */
import { Type } from "typebox";
import { cloudInitConfigDriveSchema, cloudInitNoCloudSchema } from "./cloud-init.ts";
import {
  choice,
  type Data,
  imageReference,
  later,
  laterUnless,
  listByKey,
  name,
  never,
  object,
  objectName,
  positiveQuantity,
} from "./schema.ts";
import {
  configMapSchema,
  downwardApiSchema,
  secretSchema,
  serviceAccountSchema,
  sysprepSchema,
} from "./volume-files.ts";

export const imagePullPolicySchema = choice(["Always", "IfNotPresent", "Never"], {
  description:
    "When the kubelet pulls the image. Default: Always for the tag latest or no tag, else IfNotPresent.",
});

export const imagePullSecretSchema = Type.String({
  maxLength: 253,
  description: "Name of a Secret in the VM's namespace with credentials for the image's registry.",
});

const containerDiskSchema = object(
  {
    image: imageReference("Container image that holds the disk. It is mounted read-only as an image volume."),
    path: Type.Optional(
      Type.String({
        maxLength: 1024,
        pattern: "^/",
        description: "Absolute path of the disk inside the image. Default: the only file in /disk.",
        "x-kubernetes-validations": [
          { rule: "!self.split('/').exists(part, part == '..')", message: "path must not contain .." },
        ],
      }),
    ),
    imagePullPolicy: Type.Optional(imagePullPolicySchema),
    imagePullSecret: Type.Optional(imagePullSecretSchema),
  },
  { description: "A disk out of a container image. What the guest writes is lost with the pod." },
);

const emptyDiskSchema = object(
  {
    capacity: positiveQuantity("Size of the disk in bytes, e.g. 1Gi."),
    medium: Type.Optional(
      choice(["", "Memory"], {
        description:
          "Where the disk is kept: empty for the node's disk, Memory for tmpfs, which counts against the pod's memory. Default: empty. virtpod's own field.",
      }),
    ),
  },
  { description: "An empty disk that lives as long as the pod." },
);

const persistentVolumeClaimSchema = object(
  {
    claimName: objectName("Name of a PersistentVolumeClaim in the VM's namespace."),
    readOnly: Type.Optional(
      Type.Boolean({ description: "Mount it read-only: the guest can't write. Default: false." }),
    ),
  },
  {
    description:
      "A PersistentVolumeClaim: a block device as it is, or the file disk.img of a file system, which is made where it is missing. What the guest writes is kept.",
    refused: { hotpluggable: laterUnless(false, "nothing can be hot-plugged") },
  },
);

const ephemeralSchema = object(
  {
    persistentVolumeClaim: object(
      {
        claimName: objectName("Name of a PersistentVolumeClaim in the VM's namespace that holds a disk."),
        readOnly: Type.Optional(
          Type.Boolean({
            description: "Always true.",
            "x-kubernetes-validations": [
              {
                rule: "self",
                message: "the claim of an ephemeral volume is never written: readOnly must be true",
              },
            ],
          }),
        ),
      },
      { description: "The claim that is read." },
    ),
  },
  { description: "A disk on a claim that is only read. What the guest writes is lost with the pod." },
);

const hostDiskSchema = object(
  {
    path: Type.String({
      minLength: 2,
      maxLength: 1024,
      pattern: "^/.*[^/]$",
      description: "Absolute path of the raw disk image on the node; uid 107 must be able to write it.",
      "x-kubernetes-validations": [
        { rule: "!self.split('/').exists(part, part == '..')", message: "path must not contain .." },
      ],
    }),
    type: choice(["Disk", "DiskOrCreate"], {
      description: "Disk: the file must be there. DiskOrCreate: it is made where it is missing.",
    }),
    capacity: Type.Optional(
      positiveQuantity("Size of the file that is made, in bytes. With DiskOrCreate only."),
    ),
  },
  {
    description:
      "A file of the node's. Refused unless the installation allows it (allowHostDisk), and by Pod Security baseline and restricted: it is a hostPath volume.",
    refused: { shared: laterUnless(false) },
    rules: [
      {
        rule: "has(self.capacity) == (self.type == 'DiskOrCreate')",
        message: "capacity belongs to type DiskOrCreate, which needs it",
        fieldPath: ".capacity",
      },
    ],
  },
);

const SOURCES = {
  containerDisk: Type.Optional(containerDiskSchema),
  emptyDisk: Type.Optional(emptyDiskSchema),
  persistentVolumeClaim: Type.Optional(persistentVolumeClaimSchema),
  ephemeral: Type.Optional(ephemeralSchema),
  hostDisk: Type.Optional(hostDiskSchema),
  cloudInitNoCloud: Type.Optional(cloudInitNoCloudSchema),
  cloudInitConfigDrive: Type.Optional(cloudInitConfigDriveSchema),
  configMap: Type.Optional(configMapSchema),
  secret: Type.Optional(secretSchema),
  serviceAccount: Type.Optional(serviceAccountSchema),
  downwardAPI: Type.Optional(downwardApiSchema),
  sysprep: Type.Optional(sysprepSchema),
};

const REFUSED_SOURCES = {
  dataVolume: never(
    "object",
    "name the claim that the data volume fills, which has its name, as persistentVolumeClaim",
  ),
  downwardMetrics: later("object"),
  memoryDump: later("object"),
  containerPath: later("object"),
} as const;

const SOURCE_NAMES = [...Object.keys(SOURCES), ...Object.keys(REFUSED_SOURCES)];

export const volumeSchema = object(
  {
    name: name(
      "Name of the volume; the disk of the same name shows it to the guest, or, where none is listed, a disk on the bus sata.",
    ),
    ...SOURCES,
  },
  {
    refused: REFUSED_SOURCES,
    rules: [
      {
        rule: `[${SOURCE_NAMES.map((source) => `has(self.${source})`).join(", ")}].filter(present, present).size() == 1`,
        message: `a volume needs exactly one source: ${Object.keys(SOURCES).join(", ")}`,
      },
    ],
  },
);

export type Volume = Data<typeof volumeSchema>;

export const volumesSchema = listByKey(volumeSchema, "name", {
  maxItems: 30,
  description:
    "Volumes of the VM. One that no disk names gets a disk: {bus: sata} after those that are listed.",
});
