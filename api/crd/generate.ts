/** Writes the CRDs into their folders: `node api/crd/generate.ts`. */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CRD_FOLDERS, crdYaml } from "./yaml.ts";

const root = join(import.meta.dirname, "..", "..");
const files = crdYaml();

for (const folder of CRD_FOLDERS) {
  const directory = join(root, folder);
  await mkdir(directory, { recursive: true });
  for (const left of await readdir(directory)) {
    if (left.endsWith(".yaml") && !files.has(left)) await rm(join(directory, left));
  }
  for (const [fileName, content] of files) await writeFile(join(directory, fileName), content);
}
