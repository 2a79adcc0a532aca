/** Prepares every disk of a LaunchSpec. */
import type { LaunchDisk } from "../../api/launch-spec.ts";
import { LauncherError } from "../errors.ts";
import { findContainerDisk } from "./container-disk.ts";
import { createQcow2 } from "./qemu-img.ts";

/** A disk as the domain opens it. */
export interface PreparedDisk {
  readonly name: string;
  readonly path: string;
  readonly format: "qcow2";
}

/** @throws LauncherError the first disk's failure */
export function prepareDisks(disks: readonly LaunchDisk[]): Promise<readonly PreparedDisk[]> {
  return Promise.all(disks.map(prepareDisk));
}

async function prepareDisk({ name, source }: LaunchDisk): Promise<PreparedDisk> {
  switch (source.kind) {
    case "containerDisk": {
      const image = await findContainerDisk(name, source.imageDirectory, source.path);
      await createQcow2({
        path: source.overlayPath,
        virtualSizeBytes: image.virtualSizeBytes,
        backing: { path: image.path, format: image.format },
      });
      return { name, path: source.overlayPath, format: "qcow2" };
    }
    case "emptyDisk":
      await createQcow2({ path: source.path, virtualSizeBytes: source.capacityBytes });
      return { name, path: source.path, format: "qcow2" };
    default:
      throw new LauncherError(
        "DiskCreation",
        `disk ${name}: this launcher can't prepare a ${source.kind} yet`,
      );
  }
}
