/** The configuration in force as text for a terminal. Pure. */
import { CONFIG_KEY, CONFIG_MAP, CONFIG_REFUSED_KEY, CONFIG_VERSION_KEY } from "../api/configuration.ts";
import { columns, printable } from "./table.ts";

/**
 * @param data of the ConfigMap that the operator keeps
 * @param namespace of the installation
 * @throws SyntaxError when the document in it is no JSON
 */
export function configurationTable(data: Readonly<Record<string, string>>, namespace: string): string {
  const refused = data[CONFIG_REFUSED_KEY];
  const rows = fieldsOf(JSON.parse(data[CONFIG_KEY] ?? "{}"));
  return [
    `Version ${data[CONFIG_VERSION_KEY] ?? "unknown"} is in force.`,
    ...(refused === undefined ? [] : [`ConfigMap ${namespace}/${CONFIG_MAP} holds another one: ${refused}.`]),
    "",
    ...columns([["FIELD", "VALUE"], ...rows]),
  ]
    .map((line) => `${printable(line)}\n`)
    .join("");
}

/** `cpuBurst.clusterStrategy.policy`, `cpuBurst.nodeStrategies[0].name`: each value by its path. */
function fieldsOf(value: unknown, path = ""): (readonly [string, string])[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => fieldsOf(item, `${path}[${index}]`));
  if (typeof value !== "object" || value === null) return [[path, String(value)]];
  return Object.entries(value).flatMap(([name, item]) =>
    fieldsOf(item, path === "" ? name : `${path}.${name}`),
  );
}
