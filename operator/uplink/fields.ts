/** Reads fields of what agents tell; each names the field that is wrong. */
import { OperatorError } from "../errors.ts";

const MAX_MESSAGE_CHARACTERS = 4096;
const MAX_NAME_CHARACTERS = 256;

export function object(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw malformed(field, "is not an object");
}

export function list(value: unknown, field: string, max: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= max) return value;
  throw malformed(field, `is not a list of at most ${max}`);
}

export function text(value: unknown, field: string, max: number = MAX_NAME_CHARACTERS): string {
  if (typeof value === "string" && value.length <= max) return value;
  throw malformed(field, `is not a string of at most ${max} characters`);
}

export function number(value: unknown, field: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw malformed(field, "is no number");
}

/** The field under its own name, or nothing where it isn't told. */
export function optionalText<K extends string>(
  source: Readonly<Record<string, unknown>>,
  name: K,
  within: string,
): { readonly [P in K]?: string } {
  const value = source[name];
  return value === undefined ? {} : ({ [name]: text(value, `${within}.${name}`) } as { [P in K]: string });
}

/** For people: what is too long is cut, since the rest of it is no reason to know nothing. */
export function sentence(value: unknown, field: string): string {
  if (typeof value !== "string") throw malformed(field, "is not a string");
  return value.length <= MAX_MESSAGE_CHARACTERS ? value : `${value.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…`;
}

export function oneOf<T extends string>(value: unknown, allowed: readonly T[], field: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw malformed(field, `is none of ${allowed.join(", ")}`);
}

export function malformed(field: string, problem: string): OperatorError {
  return new OperatorError("MalformedStatus", `the agent's status is refused: ${field} ${problem}`);
}
