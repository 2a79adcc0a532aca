/**
 * Writes what follows from the schemas, the CRDs and the page of fields: `node api/crd/generate.ts`.
 * With --check it writes nothing, and fails where the files differ.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { virtualMachineSpecSchema } from "../virtual-machine.ts";
import { FIELDS_PAGE, fieldsOf, fieldsPage } from "./fields.ts";
import { structuralSchema } from "./structural-schema.ts";
import { CRD_FOLDERS, crdYaml } from "./yaml.ts";

const root = join(import.meta.dirname, "..", "..");
const files = crdYaml();
const kubevirtFields = await readFile(join(import.meta.dirname, "kubevirt-fields.txt"), "utf8");
const page = fieldsPage(
  fieldsOf(structuralSchema(virtualMachineSpecSchema), kubevirtFields.trim().split("\n")),
);

async function check(): Promise<void> {
  await compare(FIELDS_PAGE, page);
  for (const folder of CRD_FOLDERS) {
    for (const [fileName, content] of files) await compare(join(folder, fileName), content);
  }
}

async function compare(path: string, content: string): Promise<void> {
  if ((await readFile(join(root, path), "utf8").catch(() => undefined)) === content) return;
  console.error(`${path} is not what the schemas say; run: node api/crd/generate.ts`);
  process.exitCode = 1;
}

async function generate(): Promise<void> {
  await mkdir(dirname(join(root, FIELDS_PAGE)), { recursive: true });
  await writeFile(join(root, FIELDS_PAGE), page);
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
