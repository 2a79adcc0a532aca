/** Where a VM may run: Kubernetes' own words, passed on to the launcher pod. */
import { Type } from "typebox";
import { choice, type Data, list, object, stringMap } from "./schema.ts";

const labelKey = Type.String({ maxLength: 317, description: "Key of a label." });
const labelKeys = (description: string) => list(labelKey, { maxItems: 64, description });
const values = list(Type.String({ maxLength: 253 }), {
  maxItems: 256,
  description: "Values to compare with.",
});
const weight = Type.Integer({ minimum: 1, maximum: 100, format: "int32", description: "Weight, 1 to 100." });

const nodeRequirement = object({
  key: labelKey,
  operator: choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"], {
    description: "How the value and `values` are compared.",
  }),
  values: Type.Optional(values),
});

const nodeSelectorTerm = object(
  {
    matchExpressions: Type.Optional(
      list(nodeRequirement, { maxItems: 64, description: "What the node's labels must be; all must hold." }),
    ),
    matchFields: Type.Optional(
      list(nodeRequirement, { maxItems: 64, description: "What the node's fields must be; all must hold." }),
    ),
  },
  { description: "Selects nodes." },
);

const nodeAffinity = object(
  {
    requiredDuringSchedulingIgnoredDuringExecution: Type.Optional(
      object(
        {
          nodeSelectorTerms: list(nodeSelectorTerm, {
            maxItems: 64,
            minItems: 1,
            description: "One of these must hold.",
          }),
        },
        { description: "What a node must be." },
      ),
    ),
    preferredDuringSchedulingIgnoredDuringExecution: Type.Optional(
      list(object({ weight, preference: nodeSelectorTerm }), {
        maxItems: 64,
        description: "What a node should be.",
      }),
    ),
  },
  { description: "Which nodes the VM may run on." },
);

const labelSelector = (description: string) =>
  object(
    {
      matchLabels: Type.Optional(stringMap({ description: "Labels that must be equal." })),
      matchExpressions: Type.Optional(
        list(
          object({
            key: labelKey,
            operator: choice(["In", "NotIn", "Exists", "DoesNotExist"], {
              description: "How the label and `values` are compared.",
            }),
            values: Type.Optional(values),
          }),
          { maxItems: 64, description: "What the labels must be; all must hold." },
        ),
      ),
    },
    { description },
  );

const podAffinityTerm = object(
  {
    labelSelector: Type.Optional(labelSelector("Selects pods by their labels.")),
    namespaceSelector: Type.Optional(labelSelector("Selects the pods' namespaces by their labels.")),
    namespaces: Type.Optional(
      list(Type.String({ maxLength: 63 }), {
        maxItems: 64,
        description: "The pods' namespaces. Default: the VM's.",
      }),
    ),
    topologyKey: labelKey,
    matchLabelKeys: Type.Optional(labelKeys("Labels that the pods must share with the launcher pod.")),
    mismatchLabelKeys: Type.Optional(
      labelKeys("Labels in which the pods must differ from the launcher pod."),
    ),
  },
  { description: "Pods, and the label of nodes that says which of them are near." },
);

const podAffinity = (description: string) =>
  object(
    {
      requiredDuringSchedulingIgnoredDuringExecution: Type.Optional(
        list(podAffinityTerm, { maxItems: 64, description: "What must hold." }),
      ),
      preferredDuringSchedulingIgnoredDuringExecution: Type.Optional(
        list(object({ weight, podAffinityTerm }), { maxItems: 64, description: "What should hold." }),
      ),
    },
    { description },
  );

export const affinitySchema = object(
  {
    nodeAffinity: Type.Optional(nodeAffinity),
    podAffinity: Type.Optional(podAffinity("Pods that the VM is to run near to.")),
    podAntiAffinity: Type.Optional(podAffinity("Pods that the VM is to run away from.")),
  },
  { description: "Affinity of the launcher pod, as in a pod's spec." },
);

export const tolerationsSchema = list(
  object({
    key: Type.Optional(labelKey),
    operator: Type.Optional(
      choice(["Exists", "Equal", "Lt", "Gt"], {
        description: "How the taint's value is compared. Default: Equal.",
      }),
    ),
    value: Type.Optional(Type.String({ maxLength: 63, description: "Value of the taint." })),
    effect: Type.Optional(
      choice(["NoSchedule", "PreferNoSchedule", "NoExecute"], {
        description: "Effect of the taint. Default: any.",
      }),
    ),
    tolerationSeconds: Type.Optional(
      Type.Integer({
        format: "int64",
        description: "Seconds that NoExecute is tolerated. Default: for ever.",
      }),
    ),
  }),
  { maxItems: 64, description: "Tolerations of the launcher pod, as in a pod's spec." },
);

export const topologySpreadConstraintsSchema = list(
  object({
    maxSkew: Type.Integer({
      minimum: 1,
      format: "int32",
      description: "By how many pods two domains may differ.",
    }),
    minDomains: Type.Optional(
      Type.Integer({
        minimum: 1,
        format: "int32",
        description: "How many domains there must be. Default: 1.",
      }),
    ),
    topologyKey: labelKey,
    whenUnsatisfiable: choice(["DoNotSchedule", "ScheduleAnyway"], {
      description: "What to do if it can't be kept.",
    }),
    labelSelector: Type.Optional(labelSelector("Selects the pods that are counted.")),
    matchLabelKeys: Type.Optional(
      labelKeys("Labels that the counted pods must share with the launcher pod."),
    ),
    nodeAffinityPolicy: Type.Optional(
      choice(["Honor", "Ignore"], {
        description: "Whether nodes outside the VM's affinity are left out. Default: Honor.",
      }),
    ),
    nodeTaintsPolicy: Type.Optional(
      choice(["Honor", "Ignore"], {
        description: "Whether nodes with taints are left out. Default: Ignore.",
      }),
    ),
  }),
  { maxItems: 64, description: "Spread of the launcher pod over the cluster, as in a pod's spec." },
);

export const nodeSelectorSchema = stringMap({
  description: "Labels that a node must have to run the VM.",
  maxProperties: 64,
});

export const dnsConfigSchema = object(
  {
    nameservers: Type.Optional(
      list(Type.String({ maxLength: 45 }), { maxItems: 3, description: "Addresses of name servers." }),
    ),
    searches: Type.Optional(
      list(Type.String({ maxLength: 253 }), { maxItems: 32, description: "Search domains." }),
    ),
    options: Type.Optional(
      list(
        object({
          name: Type.String({ maxLength: 253, description: "Name of the option." }),
          value: Type.Optional(Type.String({ maxLength: 253, description: "Value of the option." })),
        }),
        { maxItems: 32, description: "Resolver options." },
      ),
    ),
  },
  { description: "DNS of the launcher pod, which the guest is given by DHCP. As in a pod's spec." },
);

export type Affinity = Data<typeof affinitySchema>;
export type Tolerations = Data<typeof tolerationsSchema>;
export type TopologySpreadConstraints = Data<typeof topologySpreadConstraintsSchema>;
export type DnsConfig = Data<typeof dnsConfigSchema>;
