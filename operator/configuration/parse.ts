/** The text of a ConfigMap → Configuration, or the reason why not; pure. */
import { createHash } from "node:crypto";
import type { TSchema } from "typebox";
import { Errors } from "typebox/schema";
import {
  type Configuration,
  type ConfigurationDocument,
  configurationSchema,
  resolveConfiguration,
} from "../../api/configuration.ts";
import { burstConfigurationProblem } from "../../api/cpu-burst.ts";
import { OperatorError } from "../errors.ts";

/** A ConfigMap holds 1 MiB; a document of this kind has a few hundred bytes. */
const MAX_CHARACTERS = 256 * 1024;

/** A field that nobody knows is a mistake that nobody would notice: no object takes one. */
const SCHEMA = closed(configurationSchema);

/** @throws OperatorError InvalidConfiguration naming the field */
export function parseConfiguration(text: string): Configuration {
  if (text.length > MAX_CHARACTERS) throw invalid(`it has more than ${MAX_CHARACTERS} characters`);
  const document = parsed(text);
  const [, [error]] = Errors(SCHEMA, document);
  if (error !== undefined) throw invalid(sentence(error));
  const { cpuBurst = {}, ...rest } = document as ConfigurationDocument;
  const problem = burstConfigurationProblem(cpuBurst);
  if (problem !== undefined) throw invalid(`cpuBurst.${problem}`);
  return resolveConfiguration({ ...rest, cpuBurst });
}

/** Tells two configurations apart: the same for equal ones, whoever resolved them. */
export function versionOf(configuration: Configuration): string {
  return createHash("sha256").update(JSON.stringify(configuration)).digest("hex").slice(0, 12);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`it is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

type SchemaError = ReturnType<typeof Errors>[1][number];

function sentence({ instancePath, keyword, message, params }: SchemaError): string {
  const at = instancePath.split("/").slice(1).join(".");
  // `additionalProperties: false` is a schema that no value fits.
  if (keyword === "boolean") return `${at}: there is no such field`;
  if (keyword === "enum") {
    const { allowedValues = [] } = params as { allowedValues?: unknown[] };
    return `${at}: must be one of ${allowedValues.join(", ")}`;
  }
  return `${at === "" ? "the document" : at}: ${message}`;
}

/** The schema with every object closed to fields that it doesn't name. */
function closed<T extends TSchema>(schema: T): T {
  return close(schema) as T;
}

function close(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(close);
  if (typeof node !== "object" || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [key, close(value)] as const);
  const copy = Object.fromEntries(entries);
  return "properties" in copy && !("additionalProperties" in copy)
    ? { ...copy, additionalProperties: false }
    : copy;
}

function invalid(problem: string, cause?: unknown): OperatorError {
  return new OperatorError("InvalidConfiguration", `the configuration is refused: ${problem}`, { cause });
}
