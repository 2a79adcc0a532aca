/** `virtpod config`: the configuration that is in force, and why another one isn't. */
import { CONFIG_KEY, CONFIG_MAP_IN_FORCE } from "../../api/configuration.ts";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { configurationTable } from "../configuration-table.ts";
import { CliError } from "../errors.ts";
import { getJson } from "../request.ts";

export interface ConfigFlags extends ClusterFlags {
  /** Namespace that virtpod is installed in. */
  readonly installation: string;
  readonly output: "table" | "json";
}

/** @throws CliError */
export async function config(flags: ConfigFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const namespace = encodeURIComponent(flags.installation);
  const path = `/api/v1/namespaces/${namespace}/configmaps/${CONFIG_MAP_IN_FORCE}`;
  const { data = {} } = (await getJson(cluster, path)) as { data?: Readonly<Record<string, string>> };
  process.stdout.write(flags.output === "json" ? json(data) : table(data, flags.installation));
}

/** @throws CliError */
function table(data: Readonly<Record<string, string>>, installation: string): string {
  try {
    return configurationTable(data, installation);
  } catch (cause) {
    throw unreadable(installation, cause);
  }
}

/** The version, the reason of a refusal, and the document itself. */
function json({ [CONFIG_KEY]: text = "{}", ...others }: Readonly<Record<string, string>>): string {
  return `${JSON.stringify({ ...others, configuration: JSON.parse(text) }, null, 2)}\n`;
}

function unreadable(installation: string, cause: unknown): CliError {
  return new CliError(
    `ConfigMap ${installation}/${CONFIG_MAP_IN_FORCE} holds no JSON; delete it, and the operator writes it anew at its next start`,
    { cause },
  );
}
