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
    if (disk.device === "lun") {
      const message = `disk ${disk.name}: a lun needs a block device, ${source.path} is a file; use disk`;
      throw new DomainXmlError("DiskUnsupported", message);
    }
    const prefix = TARGET_PREFIX[disk.bus];
    const target = prefix + letters(used[prefix]);
    used[prefix] += 1;
    return { disk, source, target };
  });
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

/** @throws DomainXmlError `TooManyDevices` */
export function diskElements(
  devices: readonly DiskDevice[],
  { bus, orders }: { readonly bus: PciBus; readonly orders: BootOrders },
): readonly Element[] {
  return devices.map(({ disk, source, target }) => {
    const order = orders.get(`disk/${disk.name}`);
    const isVirtio = disk.bus === "virtio";
    return element(
      "disk",
      { type: "file", device: disk.device, model: isVirtio ? "virtio-non-transitional" : undefined },
      element("driver", {
        name: "qemu",
        type: source.format,
        cache: disk.cache,
        // The guest stops where its disk fails (a full node, say) and goes on when it is mended.
        error_policy: "stop",
        // Space that the guest frees goes back to the node.
        discard: "unmap",
      }),
      // A backing chain is read from the qcow2 file itself.
      element("source", { file: source.path }),
      element("target", { dev: target, bus: disk.bus }),
      disk.readonly || disk.device === "cdrom" ? element("readonly") : undefined,
      disk.serial === undefined ? undefined : element("serial", {}, disk.serial),
      order === undefined ? undefined : element("boot", { order }),
      element("alias", { name: `ua-${disk.name}` }),
      isVirtio ? bus.address() : undefined,
    );
  });
}

/** 0 → a, 25 → z, 26 → aa. */
function letters(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letters(Math.floor(index / 26) - 1) + letter;
}
