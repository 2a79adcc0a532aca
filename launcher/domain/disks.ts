/** Disks of the domain. */
import type { DiskBus, LaunchDisk, LaunchSpec } from "../../api/launch-spec.ts";
import { type Element, element } from "./element.ts";
import type { PciBus } from "./pci.ts";
import { DomainXmlError, type ResolvedDisk } from "./resources.ts";

interface DiskDevice {
  readonly disk: LaunchDisk;
  readonly source: ResolvedDisk;
  /** `vda`, `sdb` …: names within the domain only; the guest chooses its own. */
  readonly target: string;
}

const TARGET_PREFIX: Readonly<Record<DiskBus, "vd" | "sd">> = {
  virtio: "vd",
  sata: "sd",
  scsi: "sd",
  usb: "sd",
};

/** @throws DomainXmlError `DiskNotPrepared`, `DiskUnsupported` */
export function diskDevices(
  disks: readonly LaunchDisk[],
  resolved: readonly ResolvedDisk[],
): readonly DiskDevice[] {
  const used = { vd: 0, sd: 0 };
  return disks.map((disk) => {
    const source = resolved.find(({ name }) => name === disk.name);
    if (source === undefined) {
      throw new DomainXmlError("DiskNotPrepared", `disk ${disk.name}: no file was prepared for it`);
    }
    const obstacle = obstacleOf(disk, source);
    if (obstacle !== undefined) throw new DomainXmlError("DiskUnsupported", `disk ${disk.name}: ${obstacle}`);
    const prefix = TARGET_PREFIX[disk.bus];
    const target = prefix + letters(used[prefix]);
    used[prefix] += 1;
    return { disk, source, target };
  });
}

/** What qemu has no device for. */
function obstacleOf(disk: LaunchDisk, { blockSize, format, kind }: ResolvedDisk): string | undefined {
  const { device, bus, readonly } = disk;
  if (device === "lun" && kind !== "block")
    return "a lun needs a block device, which this volume isn't; use disk";
  if (device === "lun" && bus !== "scsi") return `there is no lun on ${bus}; use scsi`;
  if (device === "cdrom" && bus === "virtio") return "there is no CD-ROM on virtio; use sata, scsi or usb";
  if (device === "disk" && bus === "sata" && readonly)
    return "a SATA disk can't be read-only; use virtio or scsi";
  if (bus === "sata" && blockSize !== undefined && blockSize.logical !== SATA_BLOCK_BYTES)
    return `a SATA disk's logical block has ${SATA_BLOCK_BYTES} bytes, not ${blockSize.logical}; use virtio or scsi`;
  if (disk.shareable && format !== "raw")
    return "a shareable disk is a raw one; this volume is a qcow2 file of this VM alone";
  if (disk.shareable && disk.cache !== undefined && disk.cache !== "none")
    return `a shareable disk has no cache, and this one is to have ${disk.cache}`;
  if (bus !== "virtio" && disk.ioThread !== undefined)
    return `I/O threads serve virtio disks, and this one is on ${bus}`;
  if (bus !== "virtio" && disk.queues !== undefined)
    return `queues are of virtio disks, and this one is on ${bus}`;
  return undefined;
}

/** How devices are ordered for boot: 1 comes first. Keys are `disk/<name>` and `interface/<name>`. */
export type BootOrders = ReadonlyMap<string, number>;

/**
 * The orders that were given; where none was, the disks in their order, hard disks before CD-ROMs. libvirt passes
 * `strict=on` to qemu, so that a device without an order would never be tried.
 */
export function bootOrders({ disks, interfaces }: Pick<LaunchSpec, "disks" | "interfaces">): BootOrders {
  const given = [
    ...disks.map(({ name, bootOrder }) => [`disk/${name}`, bootOrder] as const),
    ...interfaces.map(({ name, bootOrder }) => [`interface/${name}`, bootOrder] as const),
  ].flatMap(([key, order]) => (order === undefined ? [] : [[key, order] as const]));
  if (given.length > 0) return new Map(given);
  const hardDisksFirst = [
    ...disks.filter(({ device }) => device !== "cdrom"),
    ...disks.filter(({ device }) => device === "cdrom"),
  ];
  return new Map(hardDisksFirst.map(({ name }, i) => [`disk/${name}`, i + 1]));
}

/** IDE and SATA disks have no other (qemu's ide_dev_initfn). */
const SATA_BLOCK_BYTES = 512;

/** @throws DomainXmlError `TooManyDevices` */
export function diskElements(
  devices: readonly DiskDevice[],
  { bus, orders }: { readonly bus: PciBus; readonly orders: BootOrders },
): readonly Element[] {
  return devices.map(({ disk, source, target }) => {
    const order = orders.get(`disk/${disk.name}`);
    const isVirtio = disk.bus === "virtio";
    const { blockSize, kind, path } = source;
    return element(
      "disk",
      { type: kind, device: disk.device, model: isVirtio ? "virtio-non-transitional" : undefined },
      driverElement(disk, source),
      // A backing chain is read from the qcow2 file itself.
      element("source", kind === "file" ? { file: path } : { dev: path }),
      element("target", { dev: target, bus: disk.bus }),
      disk.readonly || disk.device === "cdrom" ? element("readonly") : undefined,
      disk.shareable ? element("shareable") : undefined,
      blockSize === undefined
        ? undefined
        : element("blockio", {
            logical_block_size: blockSize.logical,
            physical_block_size: blockSize.physical,
          }),
      disk.serial === undefined ? undefined : element("serial", {}, disk.serial),
      order === undefined ? undefined : element("boot", { order }),
      element("alias", { name: `ua-${disk.name}` }),
      isVirtio ? bus.address() : undefined,
    );
  });
}

function driverElement(disk: LaunchDisk, { cache, format, io }: ResolvedDisk): Element {
  return element("driver", {
    name: "qemu",
    type: format,
    cache,
    // The guest stops where its disk fails (a full node, say) and goes on when it is mended.
    error_policy: disk.errorPolicy ?? "stop",
    io,
    iothread: disk.ioThread,
    // Space that the guest frees goes back to the node.
    discard: "unmap",
    queues: disk.queues,
  });
}

/** 0 → a, 25 → z, 26 → aa. */
function letters(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letters(Math.floor(index / 26) - 1) + letter;
}
