/**
 * Builds the images: `node images/build.ts [--fresh] [--registry HOST/PATH] [--tag TAG] [NAME…]`.
 * Each image NAME, by default all but those made on demand, ends up in `build/images/NAME.tar`.
 */
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeArchive } from "./archive.ts";
import { bundle } from "./bundle.ts";
import { Debian } from "./debian.ts";
import { debianGuestLayer } from "./guest-debian/layer.ts";
import { guestLayer } from "./guest-tiny/layer.ts";
import { epoch, type LayerFile } from "./layer.ts";
import { baseLayer, bundleLayer, debianLayer, type LayerOptions, nodeLayer } from "./layers.ts";
import { image } from "./oci.ts";
import { probeLayer } from "./probe/layer.ts";
import * as recipes from "./recipes.ts";

const root = join(import.meta.dirname, "..");
const output = join(root, "build/images");
const dist = join(root, "dist");

const names = Object.keys(recipes.runtimes) as recipes.ImageName[];

function isImage(name: string): name is recipes.ImageName {
  return (names as string[]).includes(name);
}

async function layersOf(
  name: recipes.ImageName,
  debian: Debian,
  work: string,
  options: LayerOptions,
): Promise<LayerFile[]> {
  if (name === "virtpod-guest-tiny") return [await guestLayer(debian, options)];
  if (name === "virtpod-guest-debian") return [await debianGuestLayer(debian, options)];
  const pick = name === "virtpod" ? recipes.virtpod : recipes.launcher;
  const base = await baseLayer(debian, options);
  const node = await nodeLayer();
  const programs = await debianLayer(debian, name, pick, base, options);
  const probe = name === "virtpod-launcher" ? [await probeLayer()] : [];
  for (const program of recipes.bundles[name]) await bundle(program);
  return [base, node, programs, ...probe, await bundleLayer(recipes.bundles[name], dist, work)];
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

async function build(name: recipes.ImageName, reference: string, options: LayerOptions): Promise<void> {
  const started = performance.now();
  await mkdir(output, { recursive: true });
  const work = await mkdtemp(join(output, ".work-"));
  try {
    const layers = await layersOf(name, new Debian(), work, options);
    const built = image(layers, recipes.runtimes[name], epoch);
    const file = join(output, `${name}.tar`);
    await writeArchive(file, built, layers, reference);
    const { size } = await stat(file);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${reference}: ${mebibytes(size)} in ${seconds} s, ${built.manifest.descriptor.digest}`);
    for (const { createdBy, size } of layers) console.log(`  ${mebibytes(size).padStart(10)}  ${createdBy}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    fresh: { type: "boolean", default: false },
    registry: { type: "string", default: "localhost/virtpod" },
    tag: { type: "string", default: "dev" },
  },
});

const wanted =
  positionals.length > 0 ? positionals : names.filter((name) => !recipes.onDemand.includes(name));
const unknown = wanted.find((name) => !isImage(name));
if (unknown !== undefined) {
  console.error(`no image is called ${unknown}: there are ${names.join(", ")}`);
  process.exit(2);
}
try {
  for (const name of wanted.filter(isImage)) {
    await build(name, `${values.registry}/${name}:${values.tag}`, { fresh: values.fresh });
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
