import { type ResourceDescriptor, resourceName } from "../objects.ts";
import { isObject, type Json } from "./json.ts";
import { badRequest } from "./status.ts";
import type { Stored } from "./storage.ts";

/** Whether an object matches; both selectors must. */
export type Matcher = (object: Stored) => boolean;

/** Fields that the API server selects by, beside name and namespace, which every kind has. */
const FIELDS: { readonly [resource: string]: readonly string[] } = {
  pods: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  nodes: ["spec.unschedulable"],
  namespaces: ["status.phase"],
  secrets: ["type"],
  events: [
    ...["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map(
      (name) => `involvedObject.${name}`,
    ),
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
};

/** @throws Refusal 400 on a selector that the API server would refuse too */
export function matcher(
  labelSelector: string | undefined,
  fieldSelector: string | undefined,
  descriptor: ResourceDescriptor,
): Matcher {
  const requirements = [
    ...split(labelSelector).map(labelRequirement),
    ...split(fieldSelector).map((text) => fieldRequirement(text, descriptor)),
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
  const set = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, name = "", operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    return (object) => values.includes(object.metadata.labels?.[name] ?? "\n") === (operator === "in");
  }
  const pair = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(text);
  if (pair !== null) {
    const [, name = "", operator, value = ""] = pair;
    return (object) => (object.metadata.labels?.[name] === value) === (operator !== "!=");
  }
  const one = /^(!?)([\w./-]+)$/.exec(text);
  if (one === null) {
    throw badRequest(`unable to parse requirement: ${text}`);
  }
  const [, not, name = ""] = one;
  return (object) => (object.metadata.labels?.[name] !== undefined) === (not === "");
}

function fieldRequirement(text: string, descriptor: ResourceDescriptor): Matcher {
  const pair = /^([^=!]+)(==|=|!=)(.*)$/.exec(text);
  if (pair === null) {
    throw badRequest(`invalid selector: ${text}`);
  }
  const [, path = "", operator, value = ""] = pair;
  const known = ["metadata.name", "metadata.namespace", ...(FIELDS[resourceName(descriptor)] ?? [])];
  if (!known.includes(path)) {
    throw badRequest(`field label not supported: ${path}`);
  }
  return (object) => (valueAt(object as unknown as Json, path) === value) === (operator !== "!=");
}

/** A missing field is "", as the API server has it. */
function valueAt(object: Json, path: string): string {
  const value = path
    .split(".")
    .reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), object);
  return value === undefined || value === null ? "" : String(value);
}
