/** `spec.volumes[]`: where a disk's bytes come from. */
import { Type } from "typebox";
import {
  choice,
  type Data,
  imageReference,
  later,
  listByKey,
  name,
  never,
  object,
  positiveQuantity,
} from "./schema.ts";

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

const REFUSED_SOURCES = {
  hostDisk: never("object", "a launcher pod under Pod Security restricted can't mount the node's files"),
  persistentVolumeClaim: later("object"),
  cloudInitNoCloud: later("object"),
  cloudInitConfigDrive: later("object"),
  sysprep: later("object"),
  ephemeral: later("object"),
  dataVolume: later("object"),
  configMap: later("object"),
  secret: later("object"),
  downwardAPI: later("object"),
  serviceAccount: later("object"),
  downwardMetrics: later("object"),
  memoryDump: later("object"),
  containerPath: later("object"),
} as const;

const SOURCES = ["containerDisk", "emptyDisk", ...Object.keys(REFUSED_SOURCES)];

export const volumeSchema = object(
  {
    name: name("Name of the volume; the disk of the same name shows it to the guest."),
    containerDisk: Type.Optional(containerDiskSchema),
    emptyDisk: Type.Optional(emptyDiskSchema),
  },
  {
    refused: REFUSED_SOURCES,
    rules: [
      {
        rule: `[${SOURCES.map((source) => `has(self.${source})`).join(", ")}].filter(present, present).size() == 1`,
        message: "a volume needs exactly one source: containerDisk or emptyDisk",
      },
    ],
  },
);

export type Volume = Data<typeof volumeSchema>;

export const volumesSchema = listByKey(volumeSchema, "name", {
  maxItems: 30,
  description: "Volumes of the VM, each used by the disk of the same name.",
});
