/** The one layer of the Debian guest's image: its disk, the only file in /disk. */
import { createHash } from "node:crypto";
import { glob, mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Debian } from "../debian.ts";
import { cacheFolder, type LayerFile, layer } from "../layer.ts";
import { Tree } from "../rootfs.ts";
import { bootstrap } from "./bootstrap.ts";
import { copyLicences, makeDisk } from "./disk.ts";
import { loaderPackages } from "./recipe.ts";

/** Everything in this folder decides the guest, save what only boots it. */
async function sourceHash(): Promise<string> {
  const hash = createHash("sha256");
  const names: string[] = [];
  const exclude = ["*.test.ts", "boot.ts"];
  for await (const name of glob("**", { cwd: import.meta.dirname, exclude })) {
    if ((await stat(join(import.meta.dirname, name))).isFile()) names.push(name);
  }
  for (const name of names.sort()) hash.update(name).update(await readFile(join(import.meta.dirname, name)));
  return hash.digest("hex");
}

/** @param options `fresh` takes in Debian's updates */
export async function debianGuestLayer(
  debian: Debian,
  options: { readonly fresh?: boolean },
): Promise<LayerFile> {
  const recipe = { sources: await sourceHash() };
  return layer(
    "guest-debian",
    "Debian 13 guest",
    recipe,
    async (folder) => {
      const work = await mkdtemp(join(cacheFolder(), ".guest-debian-"));
      try {
        const root = join(work, "root");
        await bootstrap(root, await debian.sourcesFile());
        await using loaders = await Tree.unpack(debian, loaderPackages);
        await copyLicences(loaders, root);
        await mkdir(join(folder, "disk"));
        await makeDisk(root, loaders, work, join(folder, "disk/disk.qcow2"));
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    },
    options,
  );
}
