/** `spec.domain.devices`: the hardware that the guest sees. */
import { Type } from "typebox";
import { choice, type Data, later, laterUnless, list, listByKey, name, never, object } from "./schema.ts";

const bootOrderSchema = Type.Integer({
  minimum: 1,
  maximum: 1000,
  format: "int32",
  description:
    "Place in the boot order, 1 first; no two devices share one. Default: not booted from when any device has one.",
});

const diskTargetSchema = object(
  {
    bus: Type.Optional(
      choice(["virtio", "sata", "scsi", "usb"], {
        description: "Bus that the disk is attached to. Default: sata.",
      }),
    ),
    readonly: Type.Optional(Type.Boolean({ description: "The guest can't write. Default: false." })),
  },
  { description: "A disk.", refused: { pciAddress: later("string") } },
);

const cdromTargetSchema = object(
  {
    bus: Type.Optional(
      choice(["sata", "scsi", "usb"], { description: "Bus that the drive is attached to. Default: sata." }),
    ),
    readonly: Type.Optional(
      Type.Boolean({
        description: "Always true.",
        "x-kubernetes-validations": [
          { rule: "self", message: "a cdrom can't be written: readonly must be true" },
        ],
      }),
    ),
  },
  { description: "A CD-ROM drive with the volume in it.", refused: { tray: later("string") } },
);

export const diskSchema = object(
  {
    name: name("Name of the disk: that of its volume."),
    disk: Type.Optional(diskTargetSchema),
    cdrom: Type.Optional(cdromTargetSchema),
    bootOrder: Type.Optional(bootOrderSchema),
    serial: Type.Optional(
      Type.String({
        maxLength: 256,
        pattern: "^[A-Za-z0-9_.+-]*$",
        description: "Serial number that the guest reads. Default: none.",
      }),
    ),
    cache: Type.Optional(
      choice(["none", "writethrough", "writeback"], {
        description:
          "qemu's cache mode. Default: none where the file system can do O_DIRECT, else writethrough.",
      }),
    ),
  },
  {
    refused: {
      lun: later("object", "it needs a block volume"),
      dedicatedIOThread: laterUnless(false),
      io: later("string"),
      tag: later("string"),
      blockSize: later("object"),
      shareable: laterUnless(false),
      errorPolicy: later("string"),
      changedBlockTracking: laterUnless(false),
    },
    rules: [
      {
        rule: "[has(self.disk), has(self.cdrom), has(self.lun)].filter(present, present).size() <= 1",
        message: "a disk has one target: disk or cdrom",
      },
    ],
  },
);

export type Disk = Data<typeof diskSchema>;

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
      watchdog: later("object"),
      inputs: later("array"),
      logSerialConsole: laterUnless(true, "the console is the launcher container's log"),
      autoattachInputDevice: laterUnless(false),
      autoattachVSOCK: laterUnless(false),
      blockMultiQueue: laterUnless(false),
      gpus: later("array"),
      downwardMetrics: later("object"),
      panicDevices: later("array"),
      filesystems: later("array"),
      hostDevices: later("array"),
      clientPassthrough: later("object"),
      sound: later("object"),
      tpm: later("object"),
      video: later("object"),
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
    ],
  },
);

export type Devices = Data<typeof devicesSchema>;
