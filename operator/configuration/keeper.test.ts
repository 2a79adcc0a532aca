import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CONFIG_KEY, CONFIG_MAP, CONFIG_MAP_IN_FORCE } from "../../api/configuration.ts";
import { FakeApiServer } from "../../kube/fake/server.ts";
import { fakeClient } from "../../kube/fake/transport.ts";
import { silentLogger } from "../../kube/logger.ts";
import { KubeMetrics } from "../../kube/metrics.ts";
import { CONFIG_MAPS } from "../../kube/resources.ts";
import { FakeClock } from "../../lib/fake-clock.ts";
import { configurationKeeper } from "./keeper.ts";
import { readConfiguration, watchConfiguration } from "./watch.ts";

const namespace = "virtpod";

async function settled(condition: () => boolean): Promise<void> {
  for (let turns = 0; turns < 2_000 && !condition(); turns += 1)
    await new Promise((resolve) => setImmediate(resolve));
  assert.ok(condition());
}

describe("the keeper of the configuration", () => {
  it("follows the ConfigMap, writes down what is in force, and tells of what is refused", async (t) => {
    const clock = new FakeClock();
    const server = new FakeApiServer({ resources: [CONFIG_MAPS], clock });
    const client = fakeClient(server, "operator");
    const configMaps = client.resource(CONFIG_MAPS).namespace(namespace);
    const write = (text: string) =>
      configMaps.patch(CONFIG_MAP, { type: "merge", body: { data: { [CONFIG_KEY]: text } } });
    await configMaps.create({ metadata: { name: CONFIG_MAP, namespace }, data: { [CONFIG_KEY]: "{}" } });

    const live = await readConfiguration({ client, namespace });
    const told: string[] = [];
    const events = {
      record: (_: object, { message, reason }: { reason: string; message: string }) =>
        void told.push(`${reason}: ${message}`),
    };
    const logger = silentLogger;
    const stop = new AbortController();
    const informer = watchConfiguration(
      { client, namespace, logger, metrics: new KubeMetrics(), clock },
      live,
    );
    const keeper = configurationKeeper({ client, namespace, live, events, logger });
    const runs = [informer.run(stop.signal), keeper.run(stop.signal)];
    t.after(async () => {
      stop.abort();
      await Promise.all(runs);
    });
    const kept = () => server.get(CONFIG_MAPS, `${namespace}/${CONFIG_MAP_IN_FORCE}`)?.data ?? {};

    await settled(() => kept()["version"] === live.inForce.version);
    await informer.waitForSync(stop.signal);
    await write('{"logLevel": "debug"}');
    await settled(() => kept()[CONFIG_KEY]?.includes('"debug"') === true);
    const { version } = live.inForce;
    await write('{"logLevel": "loud"}');
    await settled(() => kept()["refused"] !== undefined && told.length > 0);
    assert.equal(kept()["version"], version);
    assert.equal(live.current.logLevel, "debug");
    assert.match(
      told.join(),
      /^InvalidConfiguration: .*logLevel: must be one of .*; what was in force before stays$/,
    );
    await write('{"logLevel": "warn"}');
    await settled(() => kept()["refused"] === undefined && kept()["version"] === live.inForce.version);
    assert.equal(told.length, 1);
  });
});
