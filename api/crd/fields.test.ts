import assert from "node:assert/strict";
import { test } from "node:test";
import { Type } from "typebox";
import { choice, later, laterUnless, list, never, object } from "../schema.ts";
import { type Field, fieldsOf, fieldsPage } from "./fields.ts";
import { structuralSchema } from "./structural-schema.ts";

const schema = structuralSchema(
  object(
    {
      size: Type.Integer({ description: "How much." }),
      mode: choice(["on"], { description: "Which.", refused: ["off"] }),
      parts: list(
        object({
          name: Type.String({ description: "Its name." }),
          inner: Type.String(),
          own: Type.String({ description: "virtpod's own field." }),
        }),
        {
          maxItems: 1,
          description: "Parts.",
        },
      ),
    },
    {
      refused: {
        gadget: later("object", "use a part"),
        magic: never("object", "it does harm"),
        loud: laterUnless(false),
      },
    },
  ),
);

const paths = [
  "spec.gadget.deep.inside",
  "spec.loud",
  "spec.magic",
  "spec.mode",
  "spec.parts[].name",
  "spec.size",
];
const fields = fieldsOf(schema, paths);

function field(path: string): Field {
  const found = fields.find((one) => one.path === path);
  assert.ok(found, `no field ${path}`);
  return found;
}

test("each field is supported, not yet or never, with the reason", () => {
  assert.deepEqual(
    ["spec.size", "spec.gadget", "spec.magic", "spec.loud"].map((path) => [
      field(path).verdict,
      field(path).note,
    ]),
    [
      ["supported", "How much."],
      ["not yet", "use a part"],
      ["never", "it does harm"],
      ["not yet", "`false` is accepted"],
    ],
  );
});

test("what is inside a refused field is refused with it", () => {
  const { verdict, isCovered } = field("spec.gadget.deep.inside");
  assert.deepEqual({ verdict, isCovered }, { verdict: "not yet", isCovered: true });
});

test("a value that is refused is named beside its field", () => {
  assert.equal(field("spec.mode").note, "Which. Not yet: `off`.");
});

test("a field that KubeVirt doesn't list is Kubernetes' own, unless its description calls it virtpod's", () => {
  const originOf = (path: string) => field(path).origin;
  assert.equal(originOf("spec.parts[]"), "KubeVirt");
  assert.equal(originOf("spec.parts[].inner"), "Kubernetes");
  assert.equal(originOf("spec.parts[].own"), "virtpod");
});

test("a field of KubeVirt's that the schema doesn't know fails, by name", () => {
  assert.throws(() => fieldsOf(schema, ["spec.flux"]), /doesn't know KubeVirt's field spec\.flux/);
});

test("the page counts KubeVirt's fields and shows no row for what is inside a refused one", () => {
  const page = fieldsPage(fields);
  assert.match(page, /of 9, virtpod supports 4; 4 are not supported yet, 1 won't be/);
  assert.match(page, /\| `gadget` \| not yet \| use a part \|/);
  assert.doesNotMatch(page, /inside/);
});
