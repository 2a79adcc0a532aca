import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Type } from "typebox";
import { later, object, refusalMessage } from "../schema.ts";
import { virtualMachineSpecSchema, virtualMachineStatusSchema } from "../virtual-machine.ts";
import { virtualMachineInstanceSpecSchema } from "../virtual-machine-instance.ts";
import { virtualMachineInstanceStatusSchema } from "../virtual-machine-instance-status.ts";
import { type StructuralSchema, structuralDefects, structuralSchema } from "./structural-schema.ts";

describe("every schema is structural and bounded", () => {
  const schemas = {
    virtualMachineSpecSchema,
    virtualMachineStatusSchema,
    virtualMachineInstanceSpecSchema,
    virtualMachineInstanceStatusSchema,
  };
  for (const [name, schema] of Object.entries(schemas)) {
    test(name, () => assert.deepEqual(structuralDefects(structuralSchema(schema)), []));
  }
});

test("kubectl explain has a description of every field", () => {
  const silent = (schema: StructuralSchema, path: string): string[] => {
    const properties = Object.entries((schema["properties"] ?? {}) as Record<string, StructuralSchema>);
    const items = schema["items"] as StructuralSchema | undefined;
    return [
      ...properties.filter(([, child]) => !("description" in child)).map(([name]) => `${path}.${name}`),
      ...properties.flatMap(([name, child]) => silent(child, `${path}.${name}`)),
      ...(items === undefined ? [] : silent(items, `${path}[]`)),
    ];
  };
  assert.deepEqual(silent(structuralSchema(virtualMachineSpecSchema), "spec"), []);
  assert.deepEqual(silent(structuralSchema(virtualMachineStatusSchema), "status"), []);
  assert.deepEqual(silent(structuralSchema(virtualMachineInstanceStatusSchema), "status"), []);
});

describe("the API server's objections are found beforehand", () => {
  const cases: readonly (readonly [object, string])[] = [
    [Type.Literal("a"), "$ has const"],
    [Type.Record(Type.String({ maxLength: 1 }), Type.Boolean()), "$ has patternProperties"],
    [Type.Union([Type.Boolean(), Type.Integer()]), "$ has anyOf"],
    [Type.Array(Type.Boolean()), "$ has no maxItems"],
    [Type.Object({ a: Type.String() }), "$.a has no maxLength"],
    [Type.Object({}, { additionalProperties: false }), "$ forbids additional properties"],
    [Type.Ref("Other"), "$ has $ref"],
    [{ type: ["string", "null"] }, "$ has no single type"],
    [{ type: "object", additionalProperties: { type: "boolean" } }, "$ has no maxProperties"],
  ];
  for (const [schema, defect] of cases) {
    test(defect, () => {
      const defects = structuralDefects(structuralSchema(schema));
      assert.ok(defects.includes(defect), `found ${JSON.stringify(defects)}`);
    });
  }
});

test("a refused field stands in the schema with a rule that names it", () => {
  const schema = structuralSchema(object({}, { refused: { gpus: later("array") } }));
  const gpus = (schema["properties"] as Record<string, Record<string, unknown>>)["gpus"];
  assert.deepEqual(gpus?.["x-kubernetes-validations"], [
    { rule: "false", message: "gpus is not supported by virtpod yet", reason: "FieldValueForbidden" },
  ]);
  assert.equal(schema["required"], undefined);
});

test("a refusal says what to use instead", () => {
  assert.equal(
    refusalMessage("slirp", { when: "never", hint: "use bridge" }),
    "slirp is not supported by virtpod: use bridge",
  );
});
