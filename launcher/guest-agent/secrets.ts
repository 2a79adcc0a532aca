/** Secrets as the kubelet mounts them: a file per key, all of them replaced at once by the rename of `..data`. */
import { type FSWatcher, watch } from "node:fs";
import { open, readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { SecretFile } from "./credentials.ts";

/** What a Secret may hold. */
const MAX_BYTES = 1024 * 1024;
const MAX_FILES = 1024;

/** In the order of their names; all of one version. @throws the file system's error */
export async function readSecret(directory: string): Promise<readonly SecretFile[]> {
  // What `..data` leads to never changes; the links beside it are put right one by one after each change.
  const version = await realpath(join(directory, "..data")).catch(() => directory);
  const names = (await readdir(version)).sort();
  if (names.length > MAX_FILES) throw new Error(`${directory} holds more than ${MAX_FILES} files`);
  const files: SecretFile[] = [];
  let left = MAX_BYTES;
  for (const name of names) {
    const text = await readLimited(join(version, name), left);
    left -= text.length;
    files.push({ name, text });
  }
  return files;
}

async function readLimited(path: string, maxBytes: number): Promise<string> {
  await using file = await open(path);
  const { size } = await file.stat();
  if (size > maxBytes) throw new Error(`${path} makes its Secret larger than ${MAX_BYTES} bytes`);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
  return buffer.toString("utf8", 0, bytesRead);
}

/**
 * Tells when the directory's content may be another. Tells `onFailed` where nothing can be told any more.
 * @returns ends it
 */
export function watchSecret(
  directory: string,
  onChange: () => void,
  onFailed: (error: unknown) => void,
): () => void {
  let watcher: FSWatcher;
  try {
    watcher = watch(directory, onChange);
  } catch (error) {
    onFailed(error);
    return () => {};
  }
  watcher.on("error", onFailed);
  return () => watcher.close();
}
