/** `spec.networks[]`: what an interface of the guest is attached to. */
import { Type } from "typebox";
import { type Data, later, listByKey, name, object } from "./schema.ts";

const guestSubnetSchema = Type.Unsafe<string>({
  ...Type.String({
    maxLength: 18,
    description:
      "The guest's subnet with the masquerade binding, as IPv4 CIDR from /8 to /30: its first host is the gateway, its second the guest. Default: 10.0.2.0/24.",
  }),
  "x-kubernetes-validations": [
    {
      rule:
        "isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self).prefixLength() >= 8 && " +
        "cidr(self).prefixLength() <= 30 && cidr(self).masked().ip().isGlobalUnicast()",
      message:
        "vmNetworkCIDR must be an IPv4 subnet of unicast addresses from /8 to /30, such as 10.0.2.0/24",
    },
  ],
});

export const networkSchema = object(
  {
    name: name("Name of the network; the interface of the same name is attached to it."),
    multus: Type.Optional(
      object(
        {
          networkName: Type.String({
            maxLength: 317,
            pattern: "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            description:
              "NetworkAttachmentDefinition, as NAME or NAMESPACE/NAME. Default namespace: the VM's own.",
          }),
          default: Type.Optional(
            Type.Boolean({
              description:
                "The network stands in for the cluster's, on the pod's first interface, instead of pod. Default: false.",
            }),
          ),
        },
        {
          description:
            "A further network of the pod, which Multus or another implementation of its annotations attaches.",
        },
      ),
    ),
    pod: Type.Optional(
      object(
        {
          vmNetworkCIDR: Type.Optional(guestSubnetSchema),
        },
        {
          description: "The pod's own network, as the cluster's CNI plugin made it.",
          refused: {
            vmIPv6NetworkCIDR: later("string"),
          },
        },
      ),
    ),
  },
  {
    refused: { resourceClaim: later("object", "use pod or multus") },
    rules: [
      {
        rule: "!(has(self.pod) && has(self.multus))",
        message: "a network has one source: remove pod or multus",
        fieldPath: ".multus",
      },
      {
        rule: "has(self.pod) || has(self.multus) || has(self.resourceClaim)",
        message: "a network needs a source: add pod: {} or multus",
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
