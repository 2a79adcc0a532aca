/** Disks of guests in tests and benchmarks: claims, the Debian guest's image, disks and volumes side by side. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { VirtualMachine } from "../../api/virtual-machine.ts";
import type { Client } from "../../kube/client.ts";
import { type KubeObject, describe as kind } from "../../kube/objects.ts";
import { PERSISTENT_VOLUME_CLAIMS, type PersistentVolumeClaim } from "../../kube/resources.ts";
import { ROOT, until } from "./cluster.ts";
import { capture } from "./command.ts";
import type { Changes } from "./guest.ts";

interface PersistentVolume extends KubeObject {
  readonly spec: { readonly local?: { readonly path: string } };
}
const PERSISTENT_VOLUMES = kind<PersistentVolume>({
  group: "",
  version: "v1",
  plural: "persistentvolumes",
  kind: "PersistentVolume",
  namespaced: false,
});

type VmiSpec = VirtualMachine["spec"]["template"]["spec"];
type Disk = NonNullable<VmiSpec["domain"]["devices"]["disks"]>[number];
type Volume = NonNullable<VmiSpec["volumes"]>[number];

export const MIB = 1024 * 1024;
export const TINY_IMAGE = "localhost/virtpod/virtpod-guest-tiny:dev";
export const DEBIAN_IMAGE = "localhost/virtpod/virtpod-guest-debian:dev";

/** A volume and the disk that shows it: by default on virtio, with its name as its serial number; null: none is listed. */
export interface GuestDisk {
  readonly volume: Volume;
  readonly disk?: Partial<Disk> | null;
}

/** What a guest has to be given for these disks, on top of what the caller changes in its devices. */
export function withDisks(disks: readonly GuestDisk[], devices: Partial<VmiSpec["domain"]["devices"]> = {}) {
  return {
    spec: { volumes: disks.map(({ volume }) => volume) },
    devices: { ...devices, disks: disks.filter(({ disk }) => disk !== null).map(diskOf) },
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

/** An image for containerDisks, loaded into the development cluster's node. */
export function loadImage(
  name: string,
  files: Readonly<Record<string, Buffer | { readonly link: string }>>,
): void {
  const folder = mkdtempSync(join(tmpdir(), "virtpod-image-"));
  try {
    for (const [path, content] of Object.entries(files)) {
      const file = join(folder, "root", path);
      mkdirSync(dirname(file), { recursive: true });
      if (Buffer.isBuffer(content)) writeFileSync(file, content);
      else symlinkSync(content.link, file);
    }
    const script =
      '. cluster/lib/all.sh && archive_image "$1/image.tar" "$2" "[]" "$1/root" && load_image "$1/image.tar"';
    capture("bash", ["-c", script, "load-image", folder, name]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Where the volume of a bound claim is in the node: its mounted file system, or its device. */
export async function volumePath(client: Client, namespace: string, claim: string): Promise<string> {
  const bound = await until(client, PERSISTENT_VOLUME_CLAIMS, {
    namespace,
    name: claim,
    what: "a volume",
    timeoutMs: 30_000,
    when: (seen) => seen?.status?.phase === "Bound",
  });
  const volume = await client.resource(PERSISTENT_VOLUMES).get(bound?.spec?.volumeName ?? "");
  return volume.spec.local?.path ?? "";
}
