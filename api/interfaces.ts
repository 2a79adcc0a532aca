/** `spec.domain.devices.interfaces[]`: the guest's network cards, and how each is bound to its network. */
import { Type } from "typebox";
import { dhcpOptionsSchema } from "./dhcp-options.ts";
import { bootOrderSchema } from "./disks.ts";
import { choice, type Data, later, list, name, never, object } from "./schema.ts";

const portSchema = object({
  name: Type.Optional(Type.String({ maxLength: 15, description: "Name of the port, for Services." })),
  protocol: Type.Optional(choice(["TCP", "UDP"], { description: "Default: TCP." })),
  port: Type.Integer({ minimum: 1, maximum: 65_535, format: "int32", description: "Port number." }),
});

/** Where libvirt and the guest have room for it: beside the integrated devices, or behind one of 16 root ports. */
const pciAddressSchema = Type.Unsafe<string>({
  ...Type.String({
    maxLength: 12,
    description:
      "PCI address of the card in the guest: 0000:00:SS.0 with a slot from 04 to 19, or 0000:BB:00.0 with a bus from 01 to 10 (models virtio and e1000e), all hexadecimal. Default: 0000:01:00.0 for the first card, and so on.",
  }),
  "x-kubernetes-validations": [
    {
      rule: "self.matches('^0000:(00:(0[4-9a-fA-F]|1[0-9])|(0[1-9a-fA-F]|10):00)[.]0$')",
      message: "pciAddress must be 0000:00:SS.0 with SS from 04 to 19, or 0000:BB:00.0 with BB from 01 to 10",
    },
  ],
});

export const interfaceSchema = object(
  {
    name: name("Name of the interface: that of its network."),
    bridge: Type.Optional(
      Type.Object(
        {},
        {
          description:
            "The guest takes the pod's MAC address and IP address. Default when no binding is named.",
        },
      ),
    ),
    masquerade: Type.Optional(
      Type.Object(
        {},
        {
          description:
            "The guest has a subnet of its own, by default 10.0.2.0/24, behind the pod's address: nftables rewrites what it sends and what comes for the listed ports, or for all when none is listed. Only of the pod network.",
        },
      ),
    ),
    model: Type.Optional(
      choice(["virtio", "e1000", "e1000e", "rtl8139"], { description: "Network card. Default: virtio." }),
    ),
    macAddress: Type.Optional(
      Type.String({
        maxLength: 17,
        pattern: "^[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}$",
        description:
          "MAC address of the guest, not a multicast one, e.g. 02:00:00:00:00:01. Default: with bridge the pod interface's own, with masquerade, and on any network besides the pod's first, one that stays the VM's.",
      }),
    ),
    bootOrder: Type.Optional(bootOrderSchema),
    pciAddress: Type.Optional(pciAddressSchema),
    acpiIndex: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 16_383,
        format: "int32",
        description:
          "Number by which the guest's firmware names the card: Linux calls it eno<number>. Default: none.",
      }),
    ),
    state: Type.Optional(
      choice(["up", "down", "absent"], {
        description:
          "What the guest starts with. down: the card is there, its link is down. absent: there is no such card. Default: up.",
      }),
    ),
    dhcpOptions: Type.Optional(dhcpOptionsSchema),
    ports: Type.Optional(
      list(portSchema, {
        maxItems: 64,
        description:
          "Ports declared on the launcher pod. With masquerade the guest is reached at these only, or at all when none is listed; with bridge every port is reachable anyway, and the listed TCP ports by kubectl port-forward as well.",
      }),
    ),
  },
  {
    rules: [
      {
        rule: "!(has(self.bridge) && has(self.masquerade))",
        message: "an interface has one binding: remove bridge or masquerade",
        fieldPath: ".masquerade",
      },
      {
        rule: "!has(self.masquerade) || !has(self.macAddress) || !self.macAddress.matches('^02([:-]00){5}$')",
        message: "02:00:00:00:00:00 is the MAC address of the gateway that masquerade makes",
        fieldPath: ".macAddress",
      },
      {
        rule:
          "!has(self.pciAddress) || !has(self.model) || self.model in ['virtio', 'e1000e'] || " +
          "self.pciAddress.startsWith('0000:00:')",
        message: "a card of a conventional PCI model has its place on bus 00: set pciAddress to 0000:00:SS.0",
        fieldPath: ".pciAddress",
      },
    ],
    refused: {
      sriov: later("object", "use bridge or masquerade"),
      passtBinding: later("object", "use bridge or masquerade"),
      binding: later("object", "use bridge or masquerade"),
      slirp: never("object", "KubeVirt has withdrawn it; use bridge or masquerade"),
      macvtap: never("object", "KubeVirt has withdrawn it; use bridge or masquerade"),
      passt: never("object", "KubeVirt has withdrawn it; use bridge or masquerade"),
      portRanges: later("array"),
      tag: later("string"),
    },
  },
);

export type Interface = Data<typeof interfaceSchema>;
export type InterfacePort = Data<typeof portSchema>;
