/**
 * Words for writing a Kubernetes kind as a TypeBox schema: TypeBox's own, plus what a CRD's structural schema
 * knows beyond JSON Schema (list types, CEL rules, quantities) and the fields of KubeVirt that are refused by name.
 */
import { type Static, type TObject, type TProperties, type TSchema, type TUnsafe, Type } from "typebox";

export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** The plain data a schema describes. Nobody writes into an object that came from the API server. */
export type Data<Schema extends TSchema> = DeepReadonly<Static<Schema>>;

/** One CEL rule: https://kubernetes.io/docs/reference/using-api/cel/ */
export interface Rule {
  readonly rule: string;
  readonly message?: string;
  /** CEL that makes the message, where it should name what is wrong. */
  readonly messageExpression?: string;
  /** Path below the rule's own node that the error points at. */
  readonly fieldPath?: string;
  readonly reason?:
    | "FieldValueInvalid"
    | "FieldValueForbidden"
    | "FieldValueRequired"
    | "FieldValueDuplicate";
}

export interface ObjectOptions {
  readonly description?: string;
  readonly rules?: readonly Rule[];
  /** Fields that KubeVirt has and virtpod refuses, by name. They are in the schema and not in the type. */
  readonly refused?: Readonly<Record<string, Refusal>>;
}

export interface Refusal {
  readonly type: "object" | "array" | "strings" | "string" | "integer" | "boolean" | "quantity";
  readonly when: "later" | "never";
  /** What to use instead, or why not: a sentence without full stop. */
  readonly hint?: string;
  /** The one value of a boolean that asks for nothing, and so is accepted. */
  readonly harmless?: boolean;
}

/** A field that a later version of virtpod supports. */
export function later(type: Refusal["type"], hint?: string): Refusal {
  return { type, when: "later", ...(hint === undefined ? {} : { hint }) };
}

/** A boolean field of which only the value that asks for nothing is accepted. */
export function laterUnless(harmless: boolean, hint?: string): Refusal {
  return { ...later("boolean", hint), harmless };
}

/** A field that virtpod will not support. */
export function never(type: Refusal["type"], hint: string): Refusal {
  return { type, when: "never", hint };
}

/** The same words in every refusal, so that people and tests can search for them. */
export function refusalMessage(name: string, { when, hint }: Pick<Refusal, "when" | "hint">): string {
  const verdict = when === "later" ? "is not supported by virtpod yet" : "is not supported by virtpod";
  return `${name} ${verdict}${hint === undefined ? "" : `: ${hint}`}`;
}

/** An object with the fields that are served; its type has those only. */
export function object<Properties extends TProperties>(
  properties: Properties,
  { refused = {}, rules = [], description }: ObjectOptions = {},
): TObject<Properties> {
  const all: TProperties = { ...properties };
  for (const [name, refusal] of Object.entries(refused)) {
    all[name] = Type.Optional(refusedField(name, refusal));
  }
  return Type.Object(all, {
    ...(description === undefined ? {} : { description }),
    ...validations(rules),
  }) as unknown as TObject<Properties>;
}

/**
 * A refused field's schema is as loose as the API server allows, and its only rule always fails: the rule runs
 * where the field is present, so the error carries the field's own path.
 */
function refusedField(name: string, refusal: Refusal): TSchema {
  const message = refusalMessage(name, refusal);
  const rule = refusal.harmless === undefined ? "false" : refusal.harmless ? "self" : "!self";
  return Type.Unsafe<unknown>({
    ...looseType(refusal.type),
    description: `Refused: ${message}.`,
    ...validations([{ rule, message, reason: "FieldValueForbidden" }]),
  });
}

function looseType(type: Refusal["type"]): TSchema {
  switch (type) {
    case "object":
      return { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    case "array":
      return {
        type: "array",
        items: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      };
    case "strings":
      return { type: "array", items: { type: "string", maxLength: 1024 } };
    case "quantity":
      return { anyOf: [{ type: "integer" }, { type: "string" }], "x-kubernetes-int-or-string": true };
    default:
      return { type };
  }
}

/** A string out of `served`; values of KubeVirt's that are `refused` are named in the error. */
export function choice<const Served extends readonly string[]>(
  served: Served,
  options: { readonly description?: string; readonly refused?: readonly string[] } = {},
): TUnsafe<Served[number]> {
  const refused = options.refused ?? [];
  return Type.Unsafe<Served[number]>({
    type: "string",
    enum: [...served, ...refused],
    ...(options.description === undefined ? {} : { description: options.description }),
    ...validations(
      refused.map((value) => ({
        rule: `self != '${value}'`,
        message: refusalMessage(value, { when: "later", hint: `use ${served.join(" or ")}` }),
        reason: "FieldValueForbidden",
      })),
    ),
  });
}

/** A list whose items are told apart by one field; the API server refuses two with the same key. */
export function listByKey<Item extends TSchema>(
  item: Item,
  key: string,
  options: { readonly maxItems: number; readonly description?: string },
) {
  return Type.Array(item, {
    ...options,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": [key],
  });
}

/** A list that is replaced as a whole. */
export function list<Item extends TSchema>(
  item: Item,
  options: { readonly maxItems: number; readonly minItems?: number; readonly description?: string },
) {
  return Type.Array(item, { ...options, "x-kubernetes-list-type": "atomic" });
}

/** A map of strings, such as labels. */
export function stringMap(options: { readonly description: string; readonly maxProperties?: number }) {
  return Type.Unsafe<Record<string, string>>({
    type: "object",
    additionalProperties: { type: "string", maxLength: 262_144 },
    maxProperties: options.maxProperties ?? 256,
    description: options.description,
  });
}

/** The syntax of a Kubernetes quantity that is not negative: `1`, `0.5`, `100m`, `128Mi`, `1e9`. */
export const QUANTITY_PATTERN =
  "^\\+?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/** A Kubernetes quantity: a number, or a string with a suffix. `lib/quantity.ts` reads it. */
export type Quantity = string | number;

export function quantity(description: string, rules: readonly Rule[] = []): TUnsafe<Quantity> {
  return Type.Unsafe<Quantity>({
    anyOf: [{ type: "integer" }, { type: "string" }],
    "x-kubernetes-int-or-string": true,
    pattern: QUANTITY_PATTERN,
    description,
    ...validations(rules),
  });
}

const POSITIVE_BYTES_PATTERN =
  "^\\+?(0*[1-9][0-9]*(\\.[0-9]*)?|0*\\.0*[1-9][0-9]*)([KMGTPE]i|[kMGTPE]|[eE][+-]?[0-9]+)?$";

/** An amount of bytes above zero, without a CEL rule: in a list, one that reads quantities is soon over the cost limit. */
export function positiveQuantity(description: string): TUnsafe<Quantity> {
  return Type.Unsafe<Quantity>({
    ...quantity(description),
    minimum: 1,
    pattern: POSITIVE_BYTES_PATTERN,
  });
}

/** RFC 3339 in UTC, or null where KubeVirt's clients write null for "not yet". */
export function time(description: string): TUnsafe<string | null> {
  return Type.Unsafe<string | null>({ type: "string", format: "date-time", nullable: true, description });
}

/** Name of a disk, volume, interface or network: an RFC 1123 label. */
export function name(description: string) {
  return Type.String({ description, minLength: 1, maxLength: 63, pattern: DNS_LABEL_PATTERN });
}

/** Name of another Kubernetes object: an RFC 1123 subdomain. */
export function objectName(description: string) {
  return Type.String({
    description,
    minLength: 1,
    maxLength: 253,
    pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
  });
}

export const DNS_LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/** Reference of a container image. */
export function imageReference(description: string) {
  return Type.String({ description, minLength: 1, maxLength: 1024, pattern: "^[^\\s]+$" });
}

function validations(rules: readonly Rule[]): Record<string, unknown> {
  return rules.length === 0 ? {} : { "x-kubernetes-validations": rules.map((rule) => ({ ...rule })) };
}
