/** Where a VM may run: Kubernetes' own words, passed on to the launcher pod. */
import { Type } from "typebox";
import { choice, type Data, list, object, stringMap } from "./schema.ts";

const labelKey = Type.String({ maxLength: 317, description: "Label key." });
const values = list(Type.String({ maxLength: 253 }), {
  maxItems: 256,
  description: "Values to compare with.",
});
const weight = Type.Integer({ minimum: 1, maximum: 100, format: "int32", description: "Weight, 1 to 100." });

const nodeRequirement = object({
  key: labelKey,
  operator: choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
  values: Type.Optional(values),
});

const nodeSelectorTerm = object({
  matchExpressions: Type.Optional(list(nodeRequirement, { maxItems: 64, description: "Node labels." })),
  matchFields: Type.Optional(list(nodeRequirement, { maxItems: 64, description: "Node fields." })),
});

const nodeAffinity = object({
  requiredDuringSchedulingIgnoredDuringExecution: Type.Optional(
    object({ nodeSelectorTerms: list(nodeSelectorTerm, { maxItems: 64, minItems: 1 }) }),
  ),
  preferredDuringSchedulingIgnoredDuringExecution: Type.Optional(
    list(object({ weight, preference: nodeSelectorTerm }), { maxItems: 64 }),
  ),
});

const labelSelector = object(
  {
    matchLabels: Type.Optional(stringMap({ description: "Labels that must be equal." })),
    matchExpressions: Type.Optional(
      list(
        object({
          key: labelKey,
          operator: choice(["In", "NotIn", "Exists", "DoesNotExist"]),
          values: Type.Optional(values),
        }),
        { maxItems: 64 },
      ),
    ),
  },
  { description: "Selects pods by their labels." },
);

const labelKeys = (description: string) => list(labelKey, { maxItems: 64, description });

const podAffinityTerm = object({
  labelSelector: Type.Optional(labelSelector),
  namespaceSelector: Type.Optional(labelSelector),
  namespaces: Type.Optional(list(Type.String({ maxLength: 63 }), { maxItems: 64 })),
  topologyKey: labelKey,
  matchLabelKeys: Type.Optional(
    labelKeys("Keys whose values are taken from the launcher pod and must be equal."),
  ),
  mismatchLabelKeys: Type.Optional(
    labelKeys("Keys whose values are taken from the launcher pod and must differ."),
  ),
});

const podAffinity = object({
  requiredDuringSchedulingIgnoredDuringExecution: Type.Optional(list(podAffinityTerm, { maxItems: 64 })),
  preferredDuringSchedulingIgnoredDuringExecution: Type.Optional(
    list(object({ weight, podAffinityTerm }), { maxItems: 64 }),
  ),
});

export const affinitySchema = object(
  {
    nodeAffinity: Type.Optional(nodeAffinity),
    podAffinity: Type.Optional(podAffinity),
    podAntiAffinity: Type.Optional(podAffinity),
  },
  { description: "Affinity of the launcher pod, as in a pod's spec." },
);

export const tolerationsSchema = list(
  object({
    key: Type.Optional(labelKey),
    operator: Type.Optional(choice(["Exists", "Equal", "Lt", "Gt"])),
    value: Type.Optional(Type.String({ maxLength: 63 })),
    effect: Type.Optional(choice(["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    tolerationSeconds: Type.Optional(Type.Integer({ format: "int64" })),
  }),
  { maxItems: 64, description: "Tolerations of the launcher pod, as in a pod's spec." },
);

export const topologySpreadConstraintsSchema = list(
  object({
    maxSkew: Type.Integer({ minimum: 1, format: "int32" }),
    minDomains: Type.Optional(Type.Integer({ minimum: 1, format: "int32" })),
    topologyKey: labelKey,
    whenUnsatisfiable: choice(["DoNotSchedule", "ScheduleAnyway"]),
    labelSelector: Type.Optional(labelSelector),
    matchLabelKeys: Type.Optional(labelKeys("Keys whose values are taken from the launcher pod.")),
    nodeAffinityPolicy: Type.Optional(choice(["Honor", "Ignore"])),
    nodeTaintsPolicy: Type.Optional(choice(["Honor", "Ignore"])),
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
          name: Type.String({ maxLength: 253 }),
          value: Type.Optional(Type.String({ maxLength: 253 })),
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
