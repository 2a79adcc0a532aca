/** Follows the ConfigMap `virtpod-config`, of which nobody tells but the API server. */
import { CONFIG_MAP, CONFIG_MAP_IN_FORCE } from "../../api/configuration.ts";
import type { Client } from "../../kube/client.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import { Informer } from "../../kube/informer.ts";
import type { Logger } from "../../kube/logger.ts";
import type { KubeMetrics } from "../../kube/metrics.ts";
import { CONFIG_MAPS, type ConfigMap } from "../../kube/resources.ts";
import type { Clock } from "../../lib/clock.ts";
import { LiveConfiguration, leftInForce, nextInForce } from "./live.ts";

export interface ConfigurationParts {
  readonly client: Client;
  readonly namespace: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock?: Clock;
}

/**
 * What is wanted; where that is bad, what an earlier operator left as in force.
 * @throws OperatorError InvalidConfiguration when neither is good; KubeError
 */
export async function readConfiguration({
  client,
  namespace,
}: Pick<ConfigurationParts, "client" | "namespace">): Promise<LiveConfiguration> {
  const configMaps = client.resource(CONFIG_MAPS).namespace(namespace);
  const [wanted, left] = await Promise.all(
    [CONFIG_MAP, CONFIG_MAP_IN_FORCE].map((name) => configMaps.get(name).catch(ignoreNotFound)),
  );
  return new LiveConfiguration(nextInForce(dataOf(wanted), leftInForce(dataOf(left))));
}

/** @returns the cache of the one ConfigMap, to be run */
export function watchConfiguration(
  { namespace, ...parts }: ConfigurationParts,
  live: LiveConfiguration,
): Informer<ConfigMap> {
  const informer = new Informer({
    ...parts,
    resource: parts.client.resource(CONFIG_MAPS).namespace(namespace),
    // RBAC grants list and watch of this one name only to who asks for no other.
    fieldSelector: `metadata.name=${CONFIG_MAP}`,
  });
  informer.addHandler({
    name: "configuration",
    onAdd: (configMap) => live.take(dataOf(configMap)),
    onUpdate: (_, configMap) => live.take(dataOf(configMap)),
    onDelete: () => live.take(undefined),
  });
  return informer;
}

/** One without data has none of the keys, which is not the same as being gone. */
function dataOf(configMap: ConfigMap | undefined): Readonly<Record<string, string>> | undefined {
  return configMap === undefined ? undefined : (configMap.data ?? {});
}
