/** The trust in the API server's front proxy, as the API server publishes it: it is rewritten when a CA is rotated. */
import { isDeepStrictEqual } from "node:util";
import type { Client } from "../../kube/client.ts";
import { Informer } from "../../kube/informer.ts";
import type { Logger } from "../../kube/logger.ts";
import type { KubeMetrics } from "../../kube/metrics.ts";
import { CONFIG_MAPS, type ConfigMap } from "../../kube/resources.ts";
import type { Clock } from "../../lib/clock.ts";
import { type FrontProxyTrust, parseFrontProxyTrust } from "./caller.ts";

const NAMESPACE = "kube-system";
const NAME = "extension-apiserver-authentication";

/** @throws KubeError; Error when the API server runs without a front proxy CA */
export async function readTrust(client: Client): Promise<FrontProxyTrust> {
  const { data } = await client.resource(CONFIG_MAPS).namespace(NAMESPACE).get(NAME);
  return parseFrontProxyTrust(data ?? {});
}

export interface TrustParts {
  readonly client: Client;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock?: Clock;
}

/**
 * Watches the one ConfigMap.
 * @param known what `readTrust` read
 * @param onChange told of each other trust; what can't be read, or is gone, leaves the last one as it is
 */
export function watchTrust(
  parts: TrustParts,
  known: FrontProxyTrust,
  onChange: (trust: FrontProxyTrust) => void,
): Informer<ConfigMap> {
  const informer = new Informer({
    ...parts,
    resource: parts.client.resource(CONFIG_MAPS).namespace(NAMESPACE),
    // RBAC grants list and watch of this one name only to who asks for no other.
    fieldSelector: `metadata.name=${NAME}`,
  });
  let last = known;
  const take = ({ data }: ConfigMap) => {
    const trust = parseFrontProxyTrust(data ?? {});
    if (isDeepStrictEqual(trust, last)) return;
    onChange(trust);
    last = trust;
    parts.logger.info({}, "the API server's front proxy has another authority");
  };
  informer.addHandler({
    name: "front proxy's trust",
    onAdd: take,
    onUpdate: (_, configMap) => take(configMap),
  });
  return informer;
}
