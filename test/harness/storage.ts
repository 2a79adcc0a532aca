/** Disks of guests in tests and benchmarks: claims, the Debian guest's image, disks and volumes side by side. */
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Client } from "../../kube/client.ts";
import { PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim } from "../../kube/resources.ts";
import { ROOT } from "./cluster.ts";
import { capture } from "./command.ts";
import type { Changes } from "./guest.ts";

type VmiSpec = VirtualMachine["spec"]["template"]["spec"];
type Disk = NonNullable<VmiSpec["domain"]["devices"]["disks"]>[number];
type Volume = NonNullable<VmiSpec["volumes"]>[number];

export const MIB = 1024 * 1024;
export const TINY_IMAGE = "localhost/virtpod/virtpod-guest-tiny:dev";
export const DEBIAN_IMAGE = "localhost/virtpod/virtpod-guest-debian:dev";

/** A volume and the disk that shows it: by default on virtio, with its name as its serial number. */
export interface GuestDisk {
  readonly volume: Volume;
  readonly disk?: Partial<Disk>;
}

/** What a guest has to be given for these disks, on top of what the caller changes in its devices. */
export function withDisks(disks: readonly GuestDisk[], devices: Partial<VmiSpec["domain"]["devices"]> = {}) {
  return {
    spec: { volumes: disks.map(({ volume }) => volume) },
    devices: { ...devices, disks: disks.map(diskOf) },
  };
}

function diskOf({ volume: { name }, disk }: GuestDisk): Disk {
  const isCdrom = disk?.cdrom !== undefined || disk?.lun !== undefined;
  return { name, serial: name.slice(0, 20), ...(isCdrom ? {} : { disk: { bus: "virtio" } }), ...disk };
}

/** The test guest, which boots its kernel, with these disks. */
export function tinyWithDisks(disks: readonly GuestDisk[], changes: Changes = {}): Changes {
  const { spec, devices } = withDisks(disks, changes.domain?.devices ?? defaultDevices);
  return { ...changes, spec: { ...changes.spec, ...spec }, domain: { ...changes.domain, devices } };
}

const defaultDevices: VmiSpec["domain"]["devices"] = { interfaces: [{ name: "default", bridge: {} }] };

export interface ClaimOptions {
  readonly size: string;
  readonly volumeMode?: "Filesystem" | "Block";
  readonly accessModes?: readonly ("ReadWriteOnce" | "ReadOnlyMany" | "ReadWriteMany" | "ReadWriteOncePod")[];
  /** The cluster's default unless told. */
  readonly storageClassName?: string;
}

export function createClaim(
  client: Client,
  namespace: string,
  name: string,
  options: ClaimOptions,
): Promise<PersistentVolumeClaim> {
  const { size, volumeMode = "Filesystem", accessModes = ["ReadWriteOnce"], storageClassName } = options;
  return client
    .resource(PERSISTENT_VOLUME_CLAIMS)
    .namespace(namespace)
    .create({
      metadata: { name },
      spec: {
        accessModes: [...accessModes],
        volumeMode,
        resources: { requests: { storage: size } },
        ...(storageClassName === undefined ? {} : { storageClassName }),
      },
    });
}

/** Makes the Debian guest's image, a cached one in seconds, and brings it to the development cluster's node. */
export function loadDebianImage(): void {
  capture("node", ["images/build.ts", "virtpod-guest-debian"]);
  capture(`${ROOT}/cluster/image-load`, ["build/images/virtpod-guest-debian.tar"]);
}
