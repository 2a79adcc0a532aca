import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CRD_FOLDERS, crdYaml } from "./yaml.ts";

const root = join(import.meta.dirname, "..", "..");

for (const folder of CRD_FOLDERS) {
  test(`${folder}/ holds what the schemas say (else run: node api/crd/generate.ts)`, async () => {
    const committed = new Map<string, string>();
    for (const fileName of await readdir(join(root, folder))) {
      committed.set(fileName, await readFile(join(root, folder, fileName), "utf8"));
    }
    assert.deepEqual(committed, new Map(crdYaml()));
  });
}

test("the CRDs are the same each time they are made", () => {
  assert.deepEqual(crdYaml(), crdYaml());
});

test("a CRD fits into the annotation that kubectl apply makes of it", () => {
  for (const [fileName, content] of crdYaml()) {
    assert.ok(Buffer.byteLength(content) < 256 * 1024, `${fileName} is too large`);
  }
});
