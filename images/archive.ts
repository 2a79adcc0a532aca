/** Image archives: one tar that `ctr images import`, skopeo, podman and docker load. */
import { copyFile, link, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type LayerFile, pack } from "./layer.ts";
import { archiveFiles, blobPath, type Image } from "./oci.ts";

/**
 * Writes an image as an archive, replacing the file only when all of it is there.
 *
 * @param layers the image's layers with their tars
 */
export async function writeArchive(
  file: string,
  image: Image,
  layers: readonly LayerFile[],
  reference: string,
): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const work = await mkdtemp(join(dirname(file), ".archive-"));
  try {
    const root = join(work, "root");
    for (const [path, bytes] of archiveFiles(image, reference)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), bytes);
    }
    for (const layer of layers) await place(layer.file, join(root, blobPath(layer.digest)));
    await pack(root, join(work, "archive.tar"));
    await rename(join(work, "archive.tar"), file);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Links where both names share a file system, copies otherwise. */
async function place(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}
