/**
 * TypeBox schema → structural schema, the part of OpenAPI v3 that a CRD accepts:
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */

/** A schema as plain JSON. */
export interface StructuralSchema {
  readonly [keyword: string]: unknown;
}

/** JSON Schema words that TypeBox can emit and the API server refuses. */
const FORBIDDEN = [
  "$ref",
  "$id",
  "$defs",
  "$schema",
  "definitions",
  "const",
  "dependencies",
  "deprecated",
  "discriminator",
  "id",
  "patternProperties",
  "prefixItems",
  "readOnly",
  "writeOnly",
  "unevaluatedProperties",
  "uniqueItems",
] as const;

/** Words whose nested schemas may only validate, and so only stand beside x-kubernetes-int-or-string here. */
const COMBINATORS = ["allOf", "anyOf", "oneOf", "not"] as const;

/** Plain JSON of a TypeBox schema: its hidden marks are gone, and so is every empty `required`. */
export function structuralSchema(schema: object): StructuralSchema {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      key === "required" && Array.isArray(value) && value.length === 0 ? undefined : value,
    ),
  ) as StructuralSchema;
}

/** What the API server would refuse in this schema, one sentence each, with the path; empty when it is structural. */
export function structuralDefects(schema: StructuralSchema, path = "$"): string[] {
  return [
    ...FORBIDDEN.filter((word) => word in schema).map((word) => `${path} has ${word}`),
    ...typeDefects(schema, path),
    ...objectDefects(schema, path),
    ...boundDefects(schema, path),
    ...childrenOf(schema).flatMap(([name, child]) => structuralDefects(child, `${path}.${name}`)),
  ];
}

function typeDefects(schema: StructuralSchema, path: string): string[] {
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  const anything = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const defects: string[] = [];
  if (intOrString && "type" in schema) defects.push(`${path} has a type beside x-kubernetes-int-or-string`);
  if (!intOrString && !anything && typeof schema["type"] !== "string")
    defects.push(`${path} has no single type`);
  if (!intOrString) {
    defects.push(...COMBINATORS.filter((word) => word in schema).map((word) => `${path} has ${word}`));
  }
  return defects;
}

function objectDefects(schema: StructuralSchema, path: string): string[] {
  const defects: string[] = [];
  if (schema["additionalProperties"] === false) defects.push(`${path} forbids additional properties`);
  if ("properties" in schema && "additionalProperties" in schema) {
    defects.push(`${path} has properties beside additionalProperties`);
  }
  if (Array.isArray(schema["items"])) defects.push(`${path} has a tuple`);
  if (schema["type"] === "array" && !("items" in schema)) defects.push(`${path} has no items`);
  return defects;
}

/** The API server estimates what a CEL rule costs from the bounds of lists, maps and strings. */
function boundDefects(schema: StructuralSchema, path: string): string[] {
  if (isRefused(schema)) return [];
  if (schema["type"] === "array" && !("maxItems" in schema)) return [`${path} has no maxItems`];
  if ("additionalProperties" in schema && !("maxProperties" in schema))
    return [`${path} has no maxProperties`];
  const bounded = "maxLength" in schema || "enum" in schema || "format" in schema;
  return schema["type"] === "string" && !bounded ? [`${path} has no maxLength`] : [];
}

/** Nothing ever looks into the value of a field that is refused. */
export function isRefused(schema: StructuralSchema): boolean {
  return typeof schema["description"] === "string" && schema["description"].startsWith("Refused: ");
}

function childrenOf(schema: StructuralSchema): [string, StructuralSchema][] {
  const children: [string, StructuralSchema][] = Object.entries(
    (schema["properties"] ?? {}) as Record<string, StructuralSchema>,
  );
  for (const word of ["items", "additionalProperties"]) {
    const child = schema[word];
    if (typeof child === "object" && child !== null && !Array.isArray(child)) {
      children.push([word, child as StructuralSchema]);
    }
  }
  return children;
}
