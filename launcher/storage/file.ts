/** Files that appear under their name only once they are complete. */
import { randomUUID } from "node:crypto";
import { constants, type FileHandle, link, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { LauncherError } from "../errors.ts";
import type { SparseFile } from "./qcow2.ts";

/** Only the launcher and its qemu, which are one user, read them. */
const MODE = 0o600;

/**
 * Makes a sparse file unless one is there: it then holds a guest's data. Of several launchers that make it at the
 * same time, one wins and no other's file replaces it.
 * @param what names the disk in an error, e.g. `emptyDisk data`
 * @param options durable: its name must not survive a loss of power without its content, as the pod's own files may
 * @throws LauncherError DiskNoRoom, DiskAccess, DiskCreation
 */
export async function createSparse(
  path: string,
  what: string,
  content: () => SparseFile,
  options: { readonly durable: boolean } = { durable: false },
): Promise<void> {
  try {
    if (await exists(path)) return;
    const { extents, size } = content();
    await completed(path, place, async (file) => {
      for (const { bytes, offset } of extents) await writeAll(file, bytes, offset);
      await file.truncate(size);
      if (options.durable) await file.datasync();
    });
  } catch (cause) {
    throw creationError(cause, path, what);
  }
}

/**
 * Writes a file anew, whatever is there.
 * @throws LauncherError DiskNoRoom, DiskAccess, DiskCreation
 */
export async function replaceFile(path: string, what: string, content: Buffer): Promise<void> {
  try {
    await completed(path, rename, (file) => writeAll(file, content, 0));
  } catch (cause) {
    throw creationError(cause, path, what);
  }
}

/** Bytes that this user may still write to the path's file system. @throws the kernel's error */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return false;
    throw cause;
  }
}

async function completed(
  path: string,
  put: (unfinished: string, path: string) => Promise<void>,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await using file = await open(
      unfinished,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY,
      MODE,
    );
    await write(file);
    await put(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** link(2), unlike rename(2), replaces nothing; some network file systems have no links. */
async function place(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return;
    if (!WITHOUT_LINKS.has(codeOf(cause) ?? "") || (await exists(path))) throw cause;
    await rename(unfinished, path);
  }
}

const WITHOUT_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EMLINK"]);

async function writeAll(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

function creationError(cause: unknown, path: string, what: string): unknown {
  if (cause instanceof LauncherError) return cause;
  // What the format can't hold.
  if (cause instanceof RangeError) {
    return new LauncherError("DiskTooLarge", `${what}: ${cause.message}`, { cause });
  }
  const reason = codeOf(cause) ?? String(cause);
  switch (codeOf(cause)) {
    case "ENOSPC":
    case "EDQUOT":
      return new LauncherError(
        "DiskNoRoom",
        `${what}: there is no room left in ${dirname(path)} to make it`,
        {
          cause,
        },
      );
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new LauncherError(
        "DiskAccess",
        `${what}: ${path} can't be made there by uid ${process.getuid?.()} (${reason})`,
        { cause },
      );
    default:
      return new LauncherError("DiskCreation", `${what}: ${path} can't be made (${reason})`, { cause });
  }
}

export function codeOf(cause: unknown): string | undefined {
  return (cause as NodeJS.ErrnoException | undefined)?.code;
}
