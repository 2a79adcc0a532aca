/** `spec.networks[]`: what an interface of the guest is attached to. */
import { Type } from "typebox";
import { type Data, later, listByKey, name, object } from "./schema.ts";

export const networkSchema = object(
  {
    name: name("Name of the network; the interface of the same name is attached to it."),
    pod: Type.Optional(
      object(
        {},
        {
          description: "The pod's own network, as the cluster's CNI plugin made it.",
          refused: {
            vmNetworkCIDR: later("string", "it belongs to the masquerade binding"),
            vmIPv6NetworkCIDR: later("string", "it belongs to the masquerade binding"),
          },
        },
      ),
    ),
  },
  {
    refused: { multus: later("object", "use pod"), resourceClaim: later("object", "use pod") },
    rules: [
      {
        rule: "has(self.pod) || has(self.multus) || has(self.resourceClaim)",
        message: "a network needs a source: add pod: {}",
        reason: "FieldValueRequired",
      },
    ],
  },
);

export type Network = Data<typeof networkSchema>;

export const networksSchema = listByKey(networkSchema, "name", {
  maxItems: 16,
  description:
    "Networks of the VM, each used by the interface of the same name. Default, when no interface is listed either and autoattachPodInterface isn't false: one pod network named `default`.",
});
