/** Layer tars: packed the same way on every machine, and kept outside the checkout by their recipe. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Digest, Layer } from "./oci.ts";
import { run } from "./process.ts";

/** A layer and the tar that holds it. */
export type LayerFile = Layer & { readonly file: string };

/** Every timestamp in every image: the day Debian 13 was released. */
export const epoch = new Date("2025-08-09T00:00:00Z");

/** Raise it when the way layers are made changes, so that cached ones are made anew. */
const formatVersion = 1;

/** Where layers and downloaded packages are kept. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "virtpod");
}

async function sha256(file: string): Promise<Digest> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return `sha256:${hash.digest("hex")}`;
}

/**
 * Packs a folder's content into a tar: sorted, owned by root, one timestamp, no set-id bits.
 *
 * @returns the tar's digest and size
 */
export async function pack(folder: string, file: string): Promise<{ digest: Digest; size: number }> {
  const names = (await readdir(folder)).sort();
  const time = `--mtime=@${epoch.getTime() / 1000}`;
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  const same = ["--format=gnu", "--sort=name", "--hard-dereference", "--mode=u-s,g-s", time, ...owner];
  await run("tar", [...same, "-C", folder, "-cf", file, "--", ...names]);
  const { size } = await stat(file);
  return { digest: await sha256(file), size };
}

/** Name of a recipe's folder in the cache. */
export function recipeKey(name: string, recipe: unknown): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([formatVersion, recipe]))
    .digest("hex");
  return `${name}-${hash.slice(0, 16)}`;
}

/**
 * A layer from the cache, or made now.
 *
 * @param recipe everything that decides the content; another recipe is another layer
 * @param fill puts the layer's content into the folder that it is given
 */
export async function layer(
  name: string,
  createdBy: string,
  recipe: unknown,
  fill: (folder: string) => Promise<void>,
  options: { readonly fresh?: boolean } = {},
): Promise<LayerFile> {
  const layers = join(cacheFolder(), "layers");
  const home = join(layers, recipeKey(name, recipe));
  const file = join(home, "layer.tar");
  if (!options.fresh) {
    const known = await readFile(join(home, "layer.json"), "utf8").catch(() => undefined);
    if (known !== undefined)
      return { ...(JSON.parse(known) as { digest: Digest; size: number }), createdBy, file };
  }
  await mkdir(layers, { recursive: true });
  const work = await mkdtemp(join(layers, ".new-"));
  try {
    const root = join(work, "root");
    await mkdir(root);
    // The modes of what is made end up in the image.
    process.umask(0o022);
    await fill(root);
    const packed = await pack(root, join(work, "layer.tar"));
    await writeFile(join(work, "layer.json"), JSON.stringify(packed));
    await rm(root, { recursive: true });
    // A folder appears under its final name only when all of it is there.
    await rm(home, { recursive: true, force: true });
    await rename(work, home);
    return { ...packed, createdBy, file };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
