/** The layers of the images, from the one that changes least to the one that changes with every edit. */
import { access, chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Debian } from "./debian.ts";
import { type LayerFile, layer, pack } from "./layer.ts";
import { digestOf } from "./oci.ts";
import { run } from "./process.ts";
import * as recipes from "./recipes.ts";
import { type Pick, Tree } from "./rootfs.ts";
import { needTools } from "./tools.ts";

export type LayerOptions = {
  /** Makes cached layers anew, for instance to take in Debian's security updates. */
  readonly fresh?: boolean;
};

export class BundleError extends Error {
  readonly code = "BUNDLE_MISSING";
}

/** The Debian layer under both images. */
export function baseLayer(debian: Debian, options: LayerOptions): Promise<LayerFile> {
  const { base, applets, baseFiles, baseFolders } = recipes;
  const recipe = { base, applets, baseFiles, baseFolders };
  return layer(
    "debian",
    "Debian 13 base",
    recipe,
    async (root) => {
      await using tree = await Tree.unpack(debian, base.packages);
      await tree.copy(await tree.closure(base.files), root);
      for (const [path, text] of Object.entries(baseFiles)) await writeFile(join(root, path), text);
      for (const applet of applets) await symlink("busybox", join(root, "usr/bin", applet));
      await symlink("dash", join(root, "usr/bin/sh"));
      for (const [path, mode] of Object.entries(baseFolders)) {
        await mkdir(join(root, path), { recursive: true });
        await chmod(join(root, path), mode);
      }
    },
    options,
  );
}

/** A layer of Debian programs on the base layer, without what the base layer has. */
export function debianLayer(
  debian: Debian,
  name: string,
  pick: Pick,
  base: LayerFile,
  options: LayerOptions,
): Promise<LayerFile> {
  return layer(
    name,
    `Debian 13: ${pick.packages.join(" ")}`,
    { pick, base: base.digest },
    async (root) => {
      const below = new Set((await run("tar", ["-tf", base.file])).split("\n"));
      await using tree = await Tree.unpack(debian, pick.packages);
      const paths = await tree.closure(pick.files);
      await tree.copy(new Set([...paths].filter((path) => !below.has(path))), root);
    },
    options,
  );
}

/** Node's own binary, the one that runs this build, without its symbols. */
export async function nodeLayer(): Promise<LayerFile> {
  const recipe = { node: process.version, digest: digestOf(await readFile(process.execPath)) };
  return layer("node", `Node ${process.version}`, recipe, async (root) => {
    const licences = join(root, "usr/share/doc/nodejs");
    await mkdir(join(root, "usr/bin"), { recursive: true });
    await mkdir(licences, { recursive: true });
    await needTools(["strip"]);
    await run("strip", ["-o", join(root, "usr/bin/node"), process.execPath]);
    await chmod(join(root, "usr/bin/node"), 0o755);
    await writeFile(join(licences, "copyright"), nodeLicence);
  });
}

const nodeLicence = `Node.js ${process.version}
Licensed under the MIT licence; its LICENSE file, which names the licences of the libraries within, is at
https://github.com/nodejs/node/blob/${process.version}/LICENSE
`;

/**
 * The bundles of an image, with what lies beside them. Made on every build: it takes a moment and is never stale.
 *
 * @param dist folder that holds `<name>.mjs`
 * @param work folder that outlives the call, for the layer's tar
 * @throws BundleError when a bundle has not been made yet
 */
export async function bundleLayer(names: readonly string[], dist: string, work: string): Promise<LayerFile> {
  const root = await mkdtemp(join(work, "bundle-"));
  const folder = join(root, recipes.bundleFolder);
  await mkdir(folder, { recursive: true });
  for (const name of names) {
    const bundle = join(dist, `${name}.mjs`);
    await access(bundle).catch((cause: unknown) => {
      throw new BundleError(`${bundle} is missing: run \`node images/bundle.ts\` first`, { cause });
    });
    await copyFile(bundle, join(folder, `${name}.mjs`));
    for (const path of await companions(dist, name)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await copyFile(join(dist, path), join(folder, path));
    }
  }
  const file = join(work, `${basename(root)}.tar`);
  const packed = await pack(root, file);
  await rm(root, { recursive: true });
  return { ...packed, createdBy: `virtpod ${names.join(", ")}`, file };
}

/** Files that a bundle loads at run time, as its `<name>.files.json` lists them, relative to `dist`. */
async function companions(dist: string, name: string): Promise<string[]> {
  const text = await readFile(join(dist, `${name}.files.json`), "utf8").catch(() => "[]");
  return JSON.parse(text) as string[];
}
