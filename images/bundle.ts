/**
 * Bundles the programs: `node images/bundle.ts [NAME…]` writes `dist/NAME.mjs`, one file each, with its source map
 * beside it and, in `NAME.files.json`, the files that it loads at run time.
 */
import { access, chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import { VIEWER_BUILD, VIEWER_SCRIPT } from "../cli/viewer/script.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

/** Programs and their entry points, relative to the repository. */
export const programs = {
  operator: "operator/main.ts",
  agent: "agent/main.ts",
  launcher: "launcher/main.ts",
  cli: "cli/main.ts",
} as const;

export type Program = keyof typeof programs;

export function isProgram(name: string): name is Program {
  return Object.hasOwn(programs, name);
}

export class BundleError extends Error {
  readonly code = "BUNDLE";
}

/** CommonJS packages within an ES module still look for these names. */
const commonJs = [
  `import { createRequire as nodeCreateRequire } from "node:module";`,
  "const require = nodeCreateRequire(import.meta.url);",
  "const __filename = import.meta.filename, __dirname = import.meta.dirname;",
].join("");

/** koffi picks its binary by platform at run time; the images have one platform, and the file moves beside the bundle. */
const koffiBinary: Plugin = {
  name: "koffi-binary",
  setup(builder) {
    const path = join(root, "node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node");
    // Its ES module hides `require` behind a variable, where no bundler sees what is required.
    builder.onResolve({ filter: /^koffi$/ }, () => ({ path: join(root, "node_modules/koffi/index.cjs") }));
    builder.onResolve({ filter: /^@koromix\/koffi-linux-x64$/ }, () => ({ path }));
    builder.onResolve({ filter: /^@koromix\/koffi-/ }, ({ path }) => ({ path, external: true }));
  },
};

/** Files other than the bundle itself and its map that a build wrote, relative to `dist`. */
export function companions(outputs: Metafile["outputs"], name: string): string[] {
  const files = Object.keys(outputs).map((path) => basename(path));
  return files.filter((file) => file !== `${name}.mjs` && file !== `${name}.mjs.map`).sort();
}

/**
 * Bundles one program.
 *
 * @throws BundleError when its entry point does not exist, or esbuild refuses it
 */
export async function bundle(name: Program): Promise<void> {
  const entry = join(root, programs[name]);
  await access(entry).catch((cause: unknown) => {
    throw new BundleError(`${programs[name]} does not exist: ${name} cannot be bundled`, { cause });
  });
  await mkdir(dist, { recursive: true });
  if (name === "cli") await rm(join(dist, CLI_FOLDER), { recursive: true, force: true });
  const { metafile } = await build({
    entryPoints: { [name]: entry },
    outdir: dist,
    outExtension: { ".js": ".mjs" },
    assetNames: "[name]-[hash]",
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    // Names stay, so that stacks and heap snapshots can be read.
    minifySyntax: true,
    minifyWhitespace: true,
    // An uncaught error prints the line it came from.
    lineLimit: 160,
    sourcemap: "external",
    legalComments: "none",
    loader: { ".node": "copy" },
    // Optional accelerators of ws, which it does without.
    external: ["bufferutil", "utf-8-validate"],
    plugins: [koffiBinary],
    banner: { js: commonJs },
    metafile: true,
    logLevel: "error",
    ...(name === "cli" && CLI_PARTS),
  }).catch((cause: unknown) => {
    throw new BundleError(`${programs[name]} cannot be bundled: ${(cause as Error).message}`, { cause });
  });
  await writeFile(join(dist, `${name}.files.json`), JSON.stringify(companions(metafile.outputs, name)));
  await writeFile(join(dist, `${name}.meta.json`), JSON.stringify(metafile));
  if (name === "cli") await finishCli();
}

/** Below `dist`; what a command needs is loaded with it, and `virtpod version` reads little. */
const CLI_FOLDER = "cli";
const CLI_PARTS = { splitting: true, chunkNames: `${CLI_FOLDER}/[name]-[hash]` } as const;

async function finishCli(): Promise<void> {
  await build({ ...VIEWER_BUILD, outfile: join(dist, CLI_FOLDER, VIEWER_SCRIPT) });
  await chmod(join(dist, "cli.mjs"), 0o755);
}

if (import.meta.main) {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !isProgram(name));
  if (unknown !== undefined) {
    console.error(`no program is called ${unknown}: there are ${Object.keys(programs).join(", ")}`);
    process.exit(2);
  }
  try {
    for (const name of (asked.length > 0 ? asked : Object.keys(programs)).filter(isProgram))
      await bundle(name);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
