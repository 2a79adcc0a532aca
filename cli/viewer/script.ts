/** The page's script as one file: beside the bundled program it lies ready; in a checkout it is made when it is wanted. */
import { readFile } from "node:fs/promises";
import type { BuildOptions } from "esbuild";
import { CliError } from "../errors.ts";

/** Name of the script in the folder of the bundled program. */
export const VIEWER_SCRIPT = "viewer.js";

/** @throws CliError where there is neither */
export async function viewerScript(): Promise<string> {
  try {
    return await readFile(new URL(VIEWER_SCRIPT, import.meta.url), "utf8");
  } catch (missing) {
    // By a name that the bundler doesn't follow: the bundle has no esbuild, and needs none.
    const bundler = "esbuild";
    const { build } = (await import(bundler).catch(() => {
      throw new CliError(`${VIEWER_SCRIPT} is missing beside virtpod: install it again`, { cause: missing });
    })) as typeof import("esbuild");
    const { outputFiles } = await build({ ...VIEWER_BUILD, write: false });
    return outputFiles[0]?.text ?? "";
  }
}

/** How esbuild makes it, relative to this file's folder. */
export const VIEWER_BUILD = {
  absWorkingDir: import.meta.dirname,
  entryPoints: ["page.ts"] as string[],
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2024",
  minify: true,
  legalComments: "none",
  logLevel: "error",
} satisfies BuildOptions;
