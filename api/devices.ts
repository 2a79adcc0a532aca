/** `spec.domain.devices`: the hardware that the guest sees. */
import { Type } from "typebox";
import { diskSchema } from "./disks.ts";
import { interfaceSchema } from "./interfaces.ts";
import { inputsSchema, soundSchema, tpmSchema, videoSchema, watchdogSchema } from "./peripherals.ts";
import { type Data, later, laterUnless, listByKey, object, type Rule } from "./schema.ts";

/** No two interfaces have the same value in the field, as CEL's function makes it comparable. */
function interfacesDiffer(field: "acpiIndex" | "macAddress" | "pciAddress", comparable = ""): Rule {
  return {
    rule:
      `!has(self.interfaces) || self.interfaces.all(device, !has(device.${field}) || ` +
      `self.interfaces.filter(it, has(it.${field}) && ` +
      `it.${field}${comparable} == device.${field}${comparable}).size() == 1)`,
    message: `two interfaces have the same ${field}`,
    fieldPath: ".interfaces",
  };
}

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
        description:
          "Disks, each showing the volume of the same name. Default: one on the bus sata for each volume without.",
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
    tpm: Type.Optional(tpmSchema),
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
      interfacesDiffer("acpiIndex"),
      interfacesDiffer("macAddress", ".lowerAscii().replace('-', ':')"),
      interfacesDiffer("pciAddress", ".lowerAscii()"),
      {
        rule: "!has(self.video) || !has(self.autoattachGraphicsDevice) || self.autoattachGraphicsDevice",
        message: "video needs the graphics device: remove autoattachGraphicsDevice: false",
        fieldPath: ".video",
      },
    ],
  },
);

export type Devices = Data<typeof devicesSchema>;
