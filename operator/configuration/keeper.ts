/**
 * Writes down which configuration is in force, for people and for the operator's next start; the leader's job. A
 * configuration that is refused is told of as an event on its ConfigMap.
 */
import {
  CONFIG_KEY,
  CONFIG_MAP,
  CONFIG_MAP_IN_FORCE,
  CONFIG_REFUSED_KEY,
  CONFIG_VERSION_KEY,
} from "../../api/configuration.ts";
import type { Client } from "../../kube/client.ts";
import { ignoreNotFound } from "../../kube/errors.ts";
import type { EventRecorder } from "../../kube/events.ts";
import type { Logger } from "../../kube/logger.ts";
import type { Runnable } from "../../kube/manager.ts";
import { mergePatch } from "../../kube/request.ts";
import { CONFIG_MAPS, type ConfigMap } from "../../kube/resources.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { InForce, LiveConfiguration } from "./live.ts";

export interface KeeperOptions {
  /** Fenced: writes only while this replica leads. */
  readonly client: Client;
  readonly namespace: string;
  readonly live: LiveConfiguration;
  readonly events: Pick<EventRecorder, "record">;
  readonly logger: Logger;
}

const RETRY = { initialMs: 500, maxMs: 30_000 };

/** Data of the ConfigMap `virtpod-config-in-force`. */
export function inForceData({ configuration, refused, version }: InForce): Record<string, string> {
  return {
    [CONFIG_KEY]: `${JSON.stringify(configuration, null, 2)}\n`,
    [CONFIG_VERSION_KEY]: version,
    ...(refused === undefined ? {} : { [CONFIG_REFUSED_KEY]: refused }),
  };
}

export function configurationKeeper({ client, namespace, live, events, logger }: KeeperOptions): Runnable {
  const configMaps = client.resource(CONFIG_MAPS).namespace(namespace);

  async function save(inForce: InForce, signal: AbortSignal): Promise<void> {
    const data = inForceData(inForce);
    const saved = await configMaps.get(CONFIG_MAP_IN_FORCE, { signal }).catch(ignoreNotFound);
    if (saved === undefined) {
      await configMaps.create({ metadata: { name: CONFIG_MAP_IN_FORCE, namespace }, data }, { signal });
      return;
    }
    const patch = difference(saved.data ?? {}, data);
    if (Object.keys(patch).length === 0) return;
    await configMaps.patch(CONFIG_MAP_IN_FORCE, mergePatch({ data: patch }), { signal });
  }

  /** About the ConfigMap that was refused; where somebody deleted it there is none to speak of. */
  async function tell({ refused }: InForce, signal: AbortSignal): Promise<void> {
    const configMap = await configMaps.get(CONFIG_MAP, { signal }).catch(ignoreNotFound);
    if (configMap === undefined || refused === undefined) return;
    const message = `${refused}; what was in force before stays`;
    events.record(configMap satisfies ConfigMap, {
      type: "Warning",
      reason: "InvalidConfiguration",
      message,
    });
  }

  async function run(signal: AbortSignal): Promise<void> {
    let wake = Promise.withResolvers<void>();
    const onChange = () => wake.resolve();
    live.on("change", onChange);
    signal.addEventListener("abort", onChange, { once: true });
    const backoff = new Backoff(RETRY);
    let told: string | undefined;
    while (!signal.aborted) {
      const { inForce } = live;
      try {
        await save(inForce, signal);
        if (inForce.refused !== told) await tell(inForce, signal);
        told = inForce.refused;
        backoff.reset();
      } catch (err) {
        if (signal.aborted) break;
        logger.warn({ err }, "the configuration in force could not be written down");
        await backoff.wait(signal).catch(() => {});
        continue;
      }
      if (live.inForce === inForce) await wake.promise;
      wake = Promise.withResolvers();
      if (signal.aborted) wake.resolve();
    }
    live.off("change", onChange);
  }

  return { name: "configuration keeper", run };
}

/** As a merge patch has it: null for what is to go. */
function difference(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): Record<string, string | null> {
  const changed = Object.entries(after).filter(([key, value]) => before[key] !== value);
  const gone = Object.keys(before).filter((key) => !(key in after));
  return Object.fromEntries([...changed, ...gone.map((key) => [key, null] as const)]);
}
