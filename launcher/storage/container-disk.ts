/** Finds the one disk image inside a containerDisk's image volume and tells what it is. */
import { type FileHandle, open, readdir, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { LauncherError } from "../errors.ts";
import { HEADER_BYTES, type ImageFormat, imageFormat } from "./image.ts";

export interface ContainerDiskImage extends ImageFormat {
  /** Real path, inside the image volume. */
  readonly path: string;
}

/** @throws LauncherError ImageNotFound, ImageAmbiguous, ImageOutsideVolume and those of imageFormat */
export async function findContainerDisk(
  volume: string,
  imageDirectory: string,
  path: string | undefined,
): Promise<ContainerDiskImage> {
  const named = path === undefined ? await onlyFile(volume, imageDirectory) : join(imageDirectory, path);
  const real = await resolveInside(volume, imageDirectory, named);
  await using file = await openImage(volume, real);
  const stats = await file.stat();
  if (!stats.isFile()) {
    throw new LauncherError("ImageNotFound", `containerDisk ${volume}: ${named} is not a regular file`);
  }
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  return { path: real, ...imageFormat(real, buffer.subarray(0, bytesRead), stats.size) };
}

/** KubeVirt's rule: a containerDisk without a path has one file in its `disk` directory. */
async function onlyFile(volume: string, imageDirectory: string): Promise<string> {
  const directory = join(imageDirectory, "disk");
  const entries = await readdir(directory).catch((cause: unknown) => {
    throw new LauncherError(
      "ImageNotFound",
      `containerDisk ${volume}: its image has no directory /disk; put the disk there or name its path`,
      { cause },
    );
  });
  const [first] = entries;
  if (first === undefined) {
    throw new LauncherError(
      "ImageNotFound",
      `containerDisk ${volume}: the directory /disk of its image is empty`,
    );
  }
  if (entries.length > 1) {
    throw new LauncherError(
      "ImageAmbiguous",
      `containerDisk ${volume}: its image has ${entries.length} files in /disk; name the path of one`,
    );
  }
  return join(directory, first);
}

/** A link inside the image must not lead to another file of the pod. */
async function resolveInside(volume: string, imageDirectory: string, path: string): Promise<string> {
  const root = await realpath(imageDirectory).catch(notFound(volume, imageDirectory));
  const real = await realpath(path).catch(notFound(volume, path));
  if (!real.startsWith(root + sep)) {
    throw new LauncherError("ImageOutsideVolume", `containerDisk ${volume}: ${path} leads out of its image`);
  }
  return real;
}

function openImage(volume: string, path: string): Promise<FileHandle> {
  return open(path, "r").catch(notFound(volume, path));
}

function notFound(volume: string, path: string): (cause: unknown) => never {
  return (cause) => {
    throw new LauncherError("ImageNotFound", `containerDisk ${volume}: ${path} cannot be opened`, { cause });
  };
}
