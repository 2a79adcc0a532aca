/** `spec.domain.devices.disks[]`: how the guest sees a volume. */
import { Type } from "typebox";
import { choice, type Data, later, laterUnless, name, object } from "./schema.ts";

export const bootOrderSchema = Type.Integer({
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
    readonly: Type.Optional(
      Type.Boolean({ description: "The guest can't write. Not on the bus sata. Default: false." }),
    ),
  },
  {
    description: "A disk.",
    refused: { pciAddress: later("string") },
    rules: [
      {
        // ATA knows no write protection, and so qemu's disk doesn't.
        rule: "!has(self.readonly) || !self.readonly || (has(self.bus) && self.bus != 'sata')",
        message:
          "a disk on the bus sata can't be read-only: set bus to virtio, scsi or usb, or make it a cdrom",
        fieldPath: ".readonly",
      },
    ],
  },
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

const lunTargetSchema = object(
  {
    bus: Type.Optional(
      choice(["scsi"], {
        description: "Bus that the device is attached to. Default: scsi.",
        refused: ["virtio", "sata", "usb"],
      }),
    ),
    readonly: Type.Optional(Type.Boolean({ description: "The guest can't write. Default: false." })),
  },
  {
    description: "A SCSI device that the guest speaks to itself. Needs a block volume that is one.",
    refused: { reservation: laterUnless(false) },
  },
);

/** Powers of two that qemu takes, in bytes. */
const BLOCK_SIZES = Array.from({ length: 13 }, (_, index) => 512 * 2 ** index);

const blockBytes = (description: string) =>
  Type.Integer({
    minimum: 512,
    maximum: 2_097_152,
    format: "int64",
    description,
    "x-kubernetes-validations": [
      {
        rule: `self in [${BLOCK_SIZES.join(", ")}]`,
        message: "a block size is a power of two, from 512 to 2097152",
      },
    ],
  });

const blockSizeSchema = object(
  {
    custom: Type.Optional(
      object(
        {
          logical: blockBytes("Smallest unit that the guest can address, in bytes."),
          physical: blockBytes("Unit that the disk writes without reading first, in bytes."),
        },
        {
          description: "Sizes that the guest is told.",
          refused: { discardGranularity: later("integer") },
          rules: [
            {
              rule: "self.logical <= self.physical",
              message: "logical must not be above physical",
              fieldPath: ".logical",
            },
          ],
        },
      ),
    ),
    matchVolume: Type.Optional(
      object(
        { enabled: Type.Optional(Type.Boolean({ description: "Default: true." })) },
        { description: "The sizes of the volume behind the disk." },
      ),
    ),
  },
  {
    description: "Block sizes of the disk, on the buses virtio and scsi. Default: 512 bytes.",
    rules: [
      {
        rule: "has(self.custom) != has(self.matchVolume)",
        message: "blockSize has one source: custom or matchVolume",
      },
    ],
  },
);

const BUS = "(has(self.disk) && has(self.disk.bus) ? self.disk.bus : has(self.lun) ? 'scsi' : 'sata')";

export const diskSchema = object(
  {
    name: name("Name of the disk: that of its volume."),
    disk: Type.Optional(diskTargetSchema),
    cdrom: Type.Optional(cdromTargetSchema),
    lun: Type.Optional(lunTargetSchema),
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
    io: Type.Optional(
      choice(["native", "threads"], {
        description:
          "How qemu does I/O. native needs cache none. Default: native with cache none, else threads.",
      }),
    ),
    errorPolicy: Type.Optional(
      choice(["stop", "ignore", "report", "enospace"], {
        description:
          "What an I/O error of the volume does. stop: the guest is paused. ignore: it is hidden from the guest. report: the guest gets it. enospace: as stop where the volume is full, else as report. Default: stop.",
      }),
    ),
    shareable: Type.Optional(
      Type.Boolean({
        description:
          "Several VMs may write the volume at once; their guests must know how. Needs a persistentVolumeClaim or hostDisk, and cache none. Default: false.",
      }),
    ),
    blockSize: Type.Optional(blockSizeSchema),
    dedicatedIOThread: Type.Optional(
      Type.Boolean({
        description: "The disk has an I/O thread of its own. On the bus virtio only. Default: false.",
      }),
    ),
  },
  {
    refused: {
      tag: later("string"),
      changedBlockTracking: laterUnless(false),
    },
    rules: [
      {
        rule: "[has(self.disk), has(self.cdrom), has(self.lun)].filter(present, present).size() <= 1",
        message: "a disk has one target: disk, cdrom or lun",
      },
      {
        rule: "!has(self.io) || self.io != 'native' || !has(self.cache) || self.cache == 'none'",
        message: "io native needs cache none",
        fieldPath: ".io",
      },
      {
        rule: "!has(self.shareable) || !self.shareable || (!has(self.cdrom) && (!has(self.cache) || self.cache == 'none'))",
        message: "a shareable disk needs cache none, and is no cdrom",
        fieldPath: ".shareable",
      },
      {
        rule: `!has(self.blockSize) || (!has(self.cdrom) && ${BUS} in ['virtio', 'scsi'])`,
        message: "blockSize needs a disk on the bus virtio or scsi",
        fieldPath: ".blockSize",
      },
      {
        rule: `!has(self.dedicatedIOThread) || !self.dedicatedIOThread || (!has(self.cdrom) && ${BUS} == 'virtio')`,
        message: "dedicatedIOThread needs a disk on the bus virtio",
        fieldPath: ".dedicatedIOThread",
      },
    ],
  },
);

export type Disk = Data<typeof diskSchema>;
