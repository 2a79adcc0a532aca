/** Checks of foreign JSON against a type: each returns the value as that type or names the field that is wrong. */

/** Throws CheckError, with `path` as the field's name. */
export type Check<T> = (value: unknown, path: string) => T;

export class CheckError extends Error {
  override readonly name = "CheckError";
}

interface OptionalCheck<T> {
  readonly optional: Check<T>;
}

type Shape<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? OptionalCheck<Exclude<T[K], undefined>>
    : Check<T[K]>;
};

export function optional<T>(check: Check<T>): OptionalCheck<T> {
  return { optional: check };
}

/** An object with exactly these fields: one that is unknown would be accepted and ignored, so it is refused. */
export function object<T extends object>(shape: Shape<T>): Check<T> {
  const checks = Object.entries(shape) as [string, Check<unknown> | OptionalCheck<unknown>][];
  const known = new Set(Object.keys(shape));
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) fail(path, "an object", value);
    for (const key of Object.keys(value)) {
      if (!known.has(key)) throw new CheckError(`${join(path, key)}: this field is unknown`);
    }
    const source = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [key, check] of checks) {
      const field = source[key];
      if (typeof check === "function") result[key] = check(field, join(path, key));
      else if (field !== undefined) result[key] = check.optional(field, join(path, key));
    }
    return result as T;
  };
}

/** One of several objects, told apart by the value of one field. */
export function tagged<T extends object>(
  tag: keyof T & string,
  variants: Readonly<Record<string, Check<T>>>,
): Check<T> {
  return (value, path) => {
    const name =
      typeof value === "object" && value !== null ? (value as Record<string, unknown>)[tag] : undefined;
    const check = Object.hasOwn(variants, String(name)) ? variants[String(name)] : undefined;
    return check === undefined
      ? fail(join(path, tag), `one of ${Object.keys(variants).join(", ")}`, name)
      : check(value, path);
  };
}

export function array<T>(item: Check<T>, options: { readonly maxItems: number }): Check<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) fail(path, "an array", value);
    if (value.length > options.maxItems) {
      throw new CheckError(`${path}: has ${value.length} items, more than ${options.maxItems}`);
    }
    return value.map((entry, i) => item(entry, `${path}[${i}]`));
  };
}

export function string(
  options: { readonly maxLength?: number; readonly pattern?: RegExp; readonly what?: string } = {},
): Check<string> {
  const { maxLength = 4096, pattern, what = "a string" } = options;
  return (value, path) => {
    if (typeof value !== "string") fail(path, what, value);
    if (value.length > maxLength) throw new CheckError(`${path}: is longer than ${maxLength} characters`);
    if (value.includes("\0")) throw new CheckError(`${path}: contains a NUL character`);
    if (pattern !== undefined && !pattern.test(value)) fail(path, what, value);
    return value;
  };
}

export function integer(options: { readonly min: number; readonly max?: number }): Check<number> {
  const { min, max = Number.MAX_SAFE_INTEGER } = options;
  return (value, path) => {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
      fail(path, `a whole number from ${min} to ${max}`, value);
    }
    return value;
  };
}

export const boolean: Check<boolean> = (value, path) =>
  typeof value === "boolean" ? value : fail(path, "true or false", value);

export function oneOf<const T extends string | number | boolean>(...values: readonly T[]): Check<T> {
  return (value, path) =>
    values.find((known) => known === value) ?? fail(path, `one of ${values.join(", ")}`, value);
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function fail(path: string, expected: string, value: unknown): never {
  const shown = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
  throw new CheckError(`${path === "" ? "the document" : path}: must be ${expected}, is ${shown}`);
}
