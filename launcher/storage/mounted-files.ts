/** Files of a volume that the kubelet has mounted: ConfigMap, Secret, ServiceAccount token, downward API. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { LauncherError } from "../errors.ts";
import { codeOf } from "./file.ts";
import type { IsoFile } from "./iso-tree.ts";
import { MAX_ISO_BYTES } from "./iso9660.ts";

const MAX_FILES = 4096;
/** Those of ISO 9660; a mounted volume has no loops, but nothing is trusted not to. */
const MAX_DEPTH = 8;

/**
 * Every file below the directory, sorted, links followed. Names that begin with `..` are the kubelet's bookkeeping:
 * the volume's content lies in a dated directory, `..data` leads to it, and the files are links through that.
 * @throws LauncherError DiskNotFound, DiskTooLarge
 */
export async function readMounted(volume: string, directory: string): Promise<readonly IsoFile[]> {
  const paths: string[] = [];
  await collect(volume, directory, "", 1, paths);
  let total = 0;
  const files: IsoFile[] = [];
  for (const path of paths.sort()) {
    const content = await read(volume, join(directory, path));
    total += content.length;
    if (total > MAX_ISO_BYTES) throw tooLarge(volume, `more than ${MAX_ISO_BYTES} bytes`);
    files.push({ path, content });
  }
  return files;
}

/**
 * The first of the keys that the mounted Secret has.
 * @throws LauncherError SecretKeyMissing, DiskNotFound
 */
export async function readKey(
  volume: string,
  { directory, keys }: { readonly directory: string; readonly keys: readonly string[] },
): Promise<Buffer> {
  for (const key of keys) {
    const path = join(directory, key);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (isThere) return read(volume, path);
  }
  throw new LauncherError(
    "SecretKeyMissing",
    `volume ${volume}: its Secret has no key ${keys.join(" or ")}; add it and start the VM again`,
  );
}

async function collect(
  volume: string,
  directory: string,
  below: string,
  depth: number,
  paths: string[],
): Promise<void> {
  if (depth > MAX_DEPTH) throw tooLarge(volume, `more than ${MAX_DEPTH} levels of directories`);
  const names = await readdir(join(directory, below)).catch(unreadable(volume, join(directory, below)));
  for (const name of names.filter((entry) => !entry.startsWith(".."))) {
    const path = join(below, name);
    const stats = await stat(join(directory, path)).catch(unreadable(volume, join(directory, path)));
    if (stats.isDirectory()) await collect(volume, directory, path, depth + 1, paths);
    else if (stats.isFile()) paths.push(path);
    if (paths.length > MAX_FILES) throw tooLarge(volume, `more than ${MAX_FILES} files`);
  }
}

async function read(volume: string, path: string): Promise<Buffer> {
  const { size } = await stat(path).catch(unreadable(volume, path));
  if (size > MAX_ISO_BYTES) throw tooLarge(volume, `more than ${MAX_ISO_BYTES} bytes`);
  return readFile(path).catch(unreadable(volume, path));
}

function tooLarge(volume: string, what: string): LauncherError {
  return new LauncherError("DiskTooLarge", `volume ${volume} has ${what}, too much for a disk of files`);
}

function unreadable(volume: string, path: string): (cause: unknown) => never {
  return (cause) => {
    throw new LauncherError("DiskNotFound", `volume ${volume}: ${path} can't be read (${codeOf(cause)})`, {
      cause,
    });
  };
}
