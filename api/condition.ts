/** A condition of a VM or VMI: KubeVirt's shape, which keeps `lastProbeTime`. */
import { Type } from "typebox";
import { choice, type Data, listByKey, time } from "./schema.ts";

export const conditionSchema = Type.Object({
  type: Type.String({ maxLength: 316, description: "What the condition is about, e.g. Ready." }),
  status: choice(["True", "False", "Unknown"], { description: "Whether the condition holds." }),
  lastProbeTime: Type.Optional(time("When the condition was last looked at; null when that isn't recorded.")),
  lastTransitionTime: Type.Optional(time("When `status` last changed.")),
  reason: Type.Optional(Type.String({ maxLength: 1024, description: "One word in CamelCase for programs." })),
  message: Type.Optional(
    Type.String({ maxLength: 32_768, description: "A sentence for people: what is wrong and what to do." }),
  ),
});

export type Condition = Data<typeof conditionSchema>;

export const conditionsSchema = listByKey(conditionSchema, "type", {
  maxItems: 64,
  description: "Conditions are the truth; phases and printable statuses sum them up.",
});
