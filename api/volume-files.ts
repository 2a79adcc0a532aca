/** Volumes that show the guest files of the cluster's on an ISO image: ConfigMaps, Secrets and the like. */
import { Type } from "typebox";
import { choice, type Data, list, object, objectName, quantity } from "./schema.ts";

const optional = (what: string) =>
  Type.Optional(
    Type.Boolean({
      description: `The VM starts without the ${what}, on an empty image. Default: false, and the VM waits for it.`,
    }),
  );

/** ISO 9660 has 32 characters for it. */
const volumeLabel = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 32,
    pattern: "^[A-Za-z0-9_.-]+$",
    description: "Label of the ISO image. Default: cfgdata.",
  }),
);

export const configMapSchema = object(
  {
    name: objectName("Name of a ConfigMap in the VM's namespace."),
    optional: optional("ConfigMap"),
    volumeLabel,
  },
  { description: "A ConfigMap as an ISO image, one file per key, as it was when the guest started." },
);

export const secretSchema = object(
  {
    secretName: objectName("Name of a Secret in the VM's namespace."),
    optional: optional("Secret"),
    volumeLabel,
  },
  { description: "A Secret as an ISO image, one file per key, as it was when the guest started." },
);

export const serviceAccountSchema = object(
  { serviceAccountName: objectName("Name of a ServiceAccount in the VM's namespace.") },
  {
    description:
      "A ServiceAccount's token, ca.crt and namespace as an ISO image, as they were when the guest started. Refused unless the installation allows it (allowServiceAccountDisk): the pod then holds an API token.",
  },
);

const fieldRefSchema = object(
  {
    apiVersion: Type.Optional(choice(["v1"], { description: "Default: v1." })),
    fieldPath: Type.String({
      maxLength: 512,
      // The fields that Kubernetes serves in a volume.
      pattern: "^metadata\\.(name|namespace|uid|(labels|annotations)(\\['[^']+'\\])?)$",
      description:
        "metadata.name, metadata.namespace, metadata.uid, metadata.labels, metadata.annotations, or one of the latter two's, such as metadata.labels['app'].",
    }),
  },
  { description: "A field of the launcher pod." },
);

const resourceFieldRefSchema = object(
  {
    containerName: choice(["compute"], { description: "The launcher's container." }),
    resource: Type.String({
      maxLength: 64,
      pattern: "^(limits|requests)\\.(cpu|memory|ephemeral-storage)$",
      description: "limits.cpu, limits.memory, limits.ephemeral-storage, or the same of requests.",
    }),
    divisor: Type.Optional(quantity("What one of the number is, e.g. 1Mi. Default: 1.")),
  },
  { description: "A resource of the launcher pod." },
);

const downwardApiFileSchema = object(
  {
    path: Type.String({
      minLength: 1,
      maxLength: 253,
      pattern: "^[^/]",
      description: "Path of the file on the image.",
      "x-kubernetes-validations": [
        { rule: "!self.split('/').exists(part, part == '..')", message: "path must not contain .." },
      ],
    }),
    fieldRef: Type.Optional(fieldRefSchema),
    resourceFieldRef: Type.Optional(resourceFieldRefSchema),
  },
  {
    rules: [
      {
        rule: "has(self.fieldRef) != has(self.resourceFieldRef)",
        message: "a file has one source: fieldRef or resourceFieldRef",
      },
    ],
  },
);

export const downwardApiSchema = object(
  {
    fields: list(downwardApiFileSchema, { minItems: 1, maxItems: 32, description: "The files." }),
    volumeLabel,
  },
  {
    description:
      "Names, labels, annotations and resources of the launcher pod as an ISO image, as they were when the guest started.",
  },
);

export type DownwardApiFile = Data<typeof downwardApiFileSchema>;

export const sysprepSchema = object(
  {
    configMap: Type.Optional(
      object(
        { name: objectName("Name of a ConfigMap in the VM's namespace.") },
        { description: "ConfigMap with the answer files." },
      ),
    ),
    secret: Type.Optional(
      object(
        { name: objectName("Name of a Secret in the VM's namespace.") },
        { description: "Secret with the answer files." },
      ),
    ),
  },
  {
    description:
      "Answer files of a Windows installation (autounattend.xml, unattend.xml) as an ISO image. The guest needs it as a cdrom.",
    rules: [
      {
        rule: "has(self.configMap) != has(self.secret)",
        message: "sysprep has one source: configMap or secret",
      },
    ],
  },
);
