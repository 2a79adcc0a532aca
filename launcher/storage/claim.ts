/** Disks that outlive the pod: a raw file on a mounted claim or host folder, or a claim's block device. */
import { access, constants, realpath, stat } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { LauncherError } from "../errors.ts";
import { codeOf, createSparse, freeBytes } from "./file.ts";

const MIB = 1024 * 1024;
/** KubeVirt's: a file system's own needs make a claim's free space smaller than its capacity, by a tenth at most. */
const TOLERANCE = 0.1;
/** KubeVirt's: left free beside the disk. */
const RESERVED_BYTES = 128 * 1024;

/**
 * The claim's `disk.img`, made sparse where it is missing and a capacity is given.
 * @returns its real path; it is a raw image whatever it holds
 * @throws LauncherError DiskNotFound, DiskNoRoom, DiskAccess, DiskCreation, ImageOutsideVolume
 */
export async function prepareFile(
  volume: string,
  { path, capacityBytes }: { readonly path: string; readonly capacityBytes?: number },
  options: { readonly readonly: boolean },
): Promise<string> {
  const what = `volume ${volume}`;
  if (capacityBytes !== undefined && !options.readonly && (await isMissing(path))) {
    const size = diskImageBytes(what, capacityBytes, await roomOf(what, path));
    await createSparse(path, what, () => ({ size, extents: [] }), { durable: true });
  }
  const real = await resolve(what, path);
  // The claim's content is another's: a link must not make a file of the pod the guest's disk.
  const folder = await resolve(what, dirname(path));
  if (!real.startsWith(folder + sep)) {
    throw new LauncherError("ImageOutsideVolume", `${what}: ${path} is a link that leads out of the volume`);
  }
  const stats = await stat(real);
  if (!stats.isFile()) throw new LauncherError("DiskNotFound", `${what}: ${path} is not a regular file`);
  if (stats.size === 0) {
    throw new LauncherError(
      "DiskNotFound",
      `${what}: ${path} is empty; remove it, or put a raw disk image there`,
    );
  }
  await requireAccess(what, real, options);
  return real;
}

/**
 * KubeVirt's rule: the capacity, or what is free where that is less by a tenth at most; in whole mebibytes.
 * @param freeBytes what the file system can still take
 * @throws LauncherError DiskNoRoom
 */
export function diskImageBytes(what: string, capacityBytes: number, freeBytes: number): number {
  const room = Math.max(0, freeBytes - RESERVED_BYTES);
  const size = capacityBytes <= room ? capacityBytes : room;
  const whole = size < MIB ? 0 : Math.floor(size / MIB) * MIB;
  if (capacityBytes * (1 - TOLERANCE) > room || whole === 0) {
    throw new LauncherError(
      "DiskNoRoom",
      `${what}: its disk.img would have ${capacityBytes} bytes, but only ${room} are free, less by more than ${TOLERANCE * 100} %; ask for a smaller claim or make room`,
    );
  }
  return whole;
}

/** @throws LauncherError DiskNotFound, DiskAccess */
export async function prepareBlock(
  volume: string,
  path: string,
  options: { readonly readonly: boolean },
): Promise<string> {
  const what = `volume ${volume}`;
  const stats = await stat(path).catch(notFound(what, path));
  if (!stats.isBlockDevice())
    throw new LauncherError("DiskNotFound", `${what}: ${path} is not a block device`);
  await requireAccess(what, path, options);
  return path;
}

async function roomOf(what: string, path: string): Promise<number> {
  return freeBytes(dirname(path)).catch(notFound(what, dirname(path)));
}

async function isMissing(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (cause: unknown) => codeOf(cause) === "ENOENT",
  );
}

function resolve(what: string, path: string): Promise<string> {
  return realpath(path).catch(notFound(what, path));
}

async function requireAccess(
  what: string,
  path: string,
  { readonly }: { readonly readonly: boolean },
): Promise<void> {
  const mode = readonly ? constants.R_OK : constants.R_OK | constants.W_OK;
  await access(path, mode).catch((cause: unknown) => {
    const doing = readonly ? "read" : "written";
    throw new LauncherError(
      "DiskAccess",
      `${what}: ${path} can't be ${doing} by uid ${process.getuid?.()} (${codeOf(cause)}); give it to that user or group`,
      { cause },
    );
  });
}

function notFound(what: string, path: string): (cause: unknown) => never {
  return (cause) => {
    throw new LauncherError("DiskNotFound", `${what}: ${path} can't be found (${codeOf(cause)})`, { cause });
  };
}
