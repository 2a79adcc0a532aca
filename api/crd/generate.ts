/**
 * Writes the CRDs into their folders: `node api/crd/generate.ts`.
 * With --check it writes nothing, and fails where the files differ.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CRD_FOLDERS, crdYaml } from "./yaml.ts";

const root = join(import.meta.dirname, "..", "..");
const files = crdYaml();

async function check(): Promise<void> {
  for (const folder of CRD_FOLDERS) {
    for (const [fileName, content] of files) {
      const path = join(folder, fileName);
      if ((await readFile(join(root, path), "utf8").catch(() => undefined)) !== content) {
        console.error(`${path} is not what the schemas say; run: node api/crd/generate.ts`);
        process.exitCode = 1;
      }
    }
  }
}

async function generate(): Promise<void> {
  for (const folder of CRD_FOLDERS) {
    const directory = join(root, folder);
    await mkdir(directory, { recursive: true });
    for (const left of await readdir(directory)) {
      if (left.endsWith(".yaml") && !files.has(left)) await rm(join(directory, left));
    }
    for (const [fileName, content] of files) await writeFile(join(directory, fileName), content);
  }
}

await (process.argv.includes("--check") ? check() : generate());
