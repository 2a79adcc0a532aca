/** `spec.domain.devices`: the hardware that the guest sees. */
import { Type } from "typebox";
import { bootOrderSchema, diskSchema } from "./disks.ts";
import { inputsSchema, soundSchema, videoSchema, watchdogSchema } from "./peripherals.ts";
import { choice, type Data, later, laterUnless, list, listByKey, name, never, object } from "./schema.ts";

const portSchema = object({
  name: Type.Optional(Type.String({ maxLength: 15, description: "Name of the port, for Services." })),
  protocol: Type.Optional(choice(["TCP", "UDP"], { description: "Default: TCP." })),
  port: Type.Integer({ minimum: 1, maximum: 65_535, format: "int32", description: "Port number." }),
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
    model: Type.Optional(
      choice(["virtio", "e1000", "e1000e", "rtl8139"], { description: "Network card. Default: virtio." }),
    ),
    macAddress: Type.Optional(
      Type.String({
        maxLength: 17,
        pattern: "^[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}$",
        description:
          "MAC address of the guest, not a multicast one, e.g. 02:00:00:00:00:01. Default: the pod interface's own.",
      }),
    ),
    bootOrder: Type.Optional(bootOrderSchema),
    ports: Type.Optional(
      list(portSchema, {
        maxItems: 64,
        description:
          "Ports declared on the launcher pod. With the bridge binding every port is reachable anyway.",
      }),
    ),
  },
  {
    refused: {
      masquerade: later("object", "use bridge"),
      sriov: later("object", "use bridge"),
      passtBinding: later("object", "use bridge"),
      binding: later("object", "use bridge"),
      slirp: never("object", "KubeVirt has withdrawn it; use bridge"),
      macvtap: never("object", "KubeVirt has withdrawn it; use bridge"),
      passt: never("object", "KubeVirt has withdrawn it; use bridge"),
      portRanges: later("array"),
      pciAddress: later("string"),
      dhcpOptions: later("object"),
      tag: later("string"),
      acpiIndex: later("integer"),
      state: later("string"),
    },
  },
);

export type Interface = Data<typeof interfaceSchema>;
export type InterfacePort = Data<typeof portSchema>;

/** Every boot order in the list `own` is nobody else's, there or in `other`. */
function bootOrdersDiffer(own: "disks" | "interfaces", other: "disks" | "interfaces"): string {
  const same = "has(it.bootOrder) && it.bootOrder == device.bootOrder";
  return (
    `!has(self.${own}) || self.${own}.all(device, !has(device.bootOrder) || ` +
    `(self.${own}.filter(it, ${same}).size() == 1 && ` +
    `(!has(self.${other}) || !self.${other}.exists(it, ${same}))))`
  );
}

export const devicesSchema = object(
  {
    disks: Type.Optional(
      listByKey(diskSchema, "name", {
        maxItems: 30,
        description: "Disks, each showing the volume of the same name.",
      }),
    ),
    interfaces: Type.Optional(
      listByKey(interfaceSchema, "name", {
        maxItems: 10,
        description: "Network interfaces, each attached to the network of the same name.",
      }),
    ),
    autoattachPodInterface: Type.Optional(
      Type.Boolean({
        description:
          "Attach the pod network where neither networks nor interfaces are listed. Default: true.",
      }),
    ),
    autoattachGraphicsDevice: Type.Optional(Type.Boolean({ description: "VGA and VNC. Default: true." })),
    autoattachSerialConsole: Type.Optional(
      Type.Boolean({ description: "Serial console on ttyS0. Default: true." }),
    ),
    autoattachMemBalloon: Type.Optional(
      Type.Boolean({ description: "virtio memory balloon. Default: true." }),
    ),
    rng: Type.Optional(
      Type.Object({}, { description: "virtio random number generator, fed by the node. Default: none." }),
    ),
    watchdog: Type.Optional(watchdogSchema),
    inputs: Type.Optional(inputsSchema),
    video: Type.Optional(videoSchema),
    sound: Type.Optional(soundSchema),
    blockMultiQueue: Type.Optional(
      Type.Boolean({
        description: "As many queues per virtio disk as the guest has vCPUs, 16 at most. Default: false.",
      }),
    ),
    networkInterfaceMultiqueue: Type.Optional(
      Type.Boolean({
        description:
          "As many queue pairs per virtio interface as the guest has vCPUs, 16 at most. Default: false.",
      }),
    ),
  },
  {
    description: "The hardware that the guest sees.",
    refused: {
      useVirtioTransitional: laterUnless(false),
      disableHotplug: laterUnless(true, "nothing can be hot-plugged"),
      logSerialConsole: laterUnless(true, "the console is the launcher container's log"),
      autoattachInputDevice: laterUnless(false),
      autoattachVSOCK: laterUnless(false),
      gpus: later("array"),
      downwardMetrics: later("object"),
      panicDevices: later("array"),
      filesystems: later("array"),
      hostDevices: later("array"),
      clientPassthrough: later("object"),
      tpm: later("object"),
    },
    rules: [
      {
        rule: bootOrdersDiffer("disks", "interfaces"),
        message: "two devices have the same bootOrder",
        fieldPath: ".disks",
      },
      {
        rule: bootOrdersDiffer("interfaces", "disks"),
        message: "two devices have the same bootOrder",
        fieldPath: ".interfaces",
      },
      {
        rule: "!has(self.video) || !has(self.autoattachGraphicsDevice) || self.autoattachGraphicsDevice",
        message: "video needs the graphics device: remove autoattachGraphicsDevice: false",
        fieldPath: ".video",
      },
    ],
  },
);

export type Devices = Data<typeof devicesSchema>;
