import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { virtualMachineSpecSchema } from "../virtual-machine.ts";
import { isRefused, type StructuralSchema, structuralSchema } from "./structural-schema.ts";

const spec = structuralSchema(virtualMachineSpecSchema);

/** Whether a field is served, or refused by itself or with what it is a part of; undefined when it is unknown. */
function verdict(path: string): "served" | "refused" | undefined {
  let schema: StructuralSchema = spec;
  for (const segment of path.replace("spec.", "").replaceAll("[]", "").split(".")) {
    const node = (schema["items"] as StructuralSchema | undefined) ?? schema;
    const child = (node["properties"] as Record<string, StructuralSchema> | undefined)?.[segment];
    if (child === undefined) return undefined;
    if (isRefused(child)) return "refused";
    schema = child;
  }
  return "served";
}

describe("no field of a KubeVirt VM is unknown: it would be dropped with no more than a warning", async () => {
  const paths = (await readFile(join(import.meta.dirname, "kubevirt-fields.txt"), "utf8")).trim().split("\n");

  test("the list is whole", () => assert.ok(paths.length > 350));

  for (const path of paths) {
    test(path, () => assert.notEqual(verdict(path), undefined));
  }
});

test("a field that is served, one that is refused and one that is unknown are told apart", () => {
  assert.equal(verdict("spec.template.spec.domain.cpu.cores"), "served");
  assert.equal(verdict("spec.template.spec.domain.devices.gpus[].name"), "refused");
  assert.equal(verdict("spec.template.spec.domain.flux"), undefined);
});
