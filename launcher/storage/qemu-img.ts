/** Makes qcow2 files with qemu-img. */
import { execFile } from "node:child_process";
import { rename, rm, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { LauncherError } from "../errors.ts";

const run = promisify(execFile);

/** Far above what writing a few hundred KiB of metadata takes, on storage that is stuck too. */
const QEMU_IMG_DEADLINE_MS = 60_000;

export interface Qcow2Options {
  readonly path: string;
  readonly virtualSizeBytes: number;
  readonly backing?: { readonly path: string; readonly format: "qcow2" | "raw" };
}

/**
 * Makes the file unless it is there already: after a restart of the container it holds the guest's data. It appears
 * under its name only once it is complete.
 * @throws LauncherError DiskCreation
 */
export async function createQcow2(options: Qcow2Options): Promise<void> {
  const { path, virtualSizeBytes, backing } = options;
  if (await exists(path)) return;
  const unfinished = `${path}.unfinished`;
  const backingArguments =
    // -u: the size is given, so qemu-img need not open the user's image.
    backing === undefined ? [] : ["-u", "-F", backing.format, "-b", backing.path];
  try {
    await run(
      "qemu-img",
      ["create", "-q", "-f", "qcow2", ...backingArguments, unfinished, String(virtualSizeBytes)],
      { timeout: QEMU_IMG_DEADLINE_MS, killSignal: "SIGKILL", maxBuffer: 64 * 1024 },
    );
    await rename(unfinished, path);
  } catch (cause) {
    await rm(unfinished, { force: true });
    throw new LauncherError("DiskCreation", `create the disk ${path}: ${reason(cause)}`, { cause });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw new LauncherError("DiskCreation", `look for the disk ${path}: ${reason(cause)}`, { cause });
  }
}

function reason(cause: unknown): string {
  const { stderr, message } = cause as { stderr?: string; message?: string };
  return stderr?.trim() || (message ?? String(cause));
}
