/** The fields that a schema refuses by name, found by walking it. */
import { isRefused, type StructuralSchema } from "./structural-schema.ts";

export interface RefusedField {
  /** Path below the schema's root; `[]` stands for each item of a list. */
  readonly path: readonly string[];
  readonly message: string;
  /** A value that is refused. */
  readonly example: unknown;
}

export function refusedFields(schema: StructuralSchema, path: readonly string[] = []): RefusedField[] {
  if (isRefused(schema)) return [{ path, message: messageOf(schema), example: exampleOf(schema) }];
  const properties = Object.entries((schema["properties"] ?? {}) as Record<string, StructuralSchema>);
  const items = schema["items"] as StructuralSchema | undefined;
  return [
    ...properties.flatMap(([name, child]) => refusedFields(child, [...path, name])),
    ...(items === undefined ? [] : refusedFields(items, [...path, "[]"])),
  ];
}

/** The rule that refuses a field; of another field the first rule, if it has one. */
export function ruleOf(schema: StructuralSchema): { readonly rule?: string; readonly message?: string } {
  return (schema["x-kubernetes-validations"] as readonly { rule: string; message: string }[])[0] ?? {};
}

function messageOf(schema: StructuralSchema): string {
  return ruleOf(schema).message ?? "";
}

function exampleOf(schema: StructuralSchema): unknown {
  switch (schema["type"]) {
    case "object":
      return {};
    case "array":
      return [(schema["items"] as StructuralSchema)["type"] === "string" ? "example" : {}];
    case "boolean":
      return ruleOf(schema).rule !== "self";
    case "string":
      return "example";
    default:
      return 1;
  }
}
