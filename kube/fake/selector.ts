import { isObject, type Json } from "./json.ts";
import type { Stored } from "./storage.ts";

/** Whether an object matches; both selectors must. */
export type Matcher = (object: Stored) => boolean;

/**
 * @throws Error on a selector that the API server would refuse too
 */
export function matcher(labelSelector: string | undefined, fieldSelector: string | undefined): Matcher {
  const requirements = [
    ...split(labelSelector).map(labelRequirement),
    ...split(fieldSelector).map(fieldRequirement),
  ];
  return (object) => requirements.every((requirement) => requirement(object));
}

/** Cuts at the commas outside parentheses. */
function split(selector: string | undefined): string[] {
  return (selector ?? "")
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function labelRequirement(text: string): Matcher {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, name = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    return (object) => values.includes(object.metadata.labels?.[name] ?? "\n") === (operator === "in");
  }
  const pair = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/.exec(text);
  if (pair !== null) {
    const [, name = "", operator, value = ""] = pair;
    return (object) => (object.metadata.labels?.[name] === value) === (operator !== "!=");
  }
  const name = text.replace(/^!/, "");
  return (object) => (object.metadata.labels?.[name] !== undefined) === !text.startsWith("!");
}

function fieldRequirement(text: string): Matcher {
  const pair = /^([^=!]+)(==|=|!=)(.*)$/.exec(text);
  if (pair === null) {
    throw new Error(`invalid field selector ${text}`);
  }
  const [, path = "", operator, value = ""] = pair;
  return (object) => (valueAt(object as unknown as Json, path) === value) === (operator !== "!=");
}

/** A missing field is "", as the API server has it. */
function valueAt(object: Json, path: string): string {
  const value = path
    .split(".")
    .reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), object);
  return value === undefined || value === null ? "" : String(value);
}
