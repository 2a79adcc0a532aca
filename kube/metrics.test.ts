import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { Controller } from "./controller.ts";
import { EventRecorder } from "./events.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { Informer } from "./informer.ts";
import { LeaderElector } from "./leader-election.ts";
import { KubeMetrics } from "./metrics.ts";
import { CONFIG_MAPS, EVENTS, LEASES } from "./resources.ts";
import { until } from "./testing/turns.ts";

test("informer, controller, elector and recorder are told of under the names that dashboards look for", async () => {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS, EVENTS, LEASES] });
  const client = fakeClient(server);
  const common = { metrics: new KubeMetrics(), clock: new FakeClock() };
  const isTold = async (line: string) =>
    (await common.metrics.registry.metrics()).split("\n").some((one) => one.startsWith(line));
  const stop = new AbortController();
  const informer = new Informer({ resource: client.resource(CONFIG_MAPS), auditMs: 0, ...common });
  const recorder = new EventRecorder({ client, component: "test", ...common });
  const controller = new Controller({
    name: "test",
    for: { informer },
    concurrency: 3,
    reconcile: async ({ key }) => {
      const object = informer.get(key);
      if (object !== undefined) recorder.record(object, { type: "Normal", reason: "Seen", message: "Seen" });
    },
    ...common,
  });
  const lease = { client, namespace: "default", name: "lease", identity: "test" };
  const elector = new LeaderElector({ ...lease, ...common });
  const aborted = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  const running = Promise.all([
    ...[informer, recorder, controller].map((part) => part.run(stop.signal)),
    elector.run(stop.signal, () => aborted),
  ]);
  const { metadata } = await client
    .resource(CONFIG_MAPS)
    .create({ metadata: { name: "a", namespace: "default" } });
  await until(() => isTold('event_recorder_events_total{outcome="created"} 1'));
  await until(() => isTold('leader_election_master_status{name="lease"} 1'));
  for (const line of [
    'reflector_lists_total{resource="configmaps",reason="start"} 1',
    'reflector_watches_total{resource="configmaps"} 1',
    'store_objects{resource="configmaps"} 1',
    `store_resource_version{resource="configmaps"} ${metadata.resourceVersion}`,
    'controller_runtime_max_concurrent_reconciles{controller="test"} 3',
    'controller_runtime_active_workers{controller="test"} 0',
    'controller_runtime_reconcile_total{controller="test",result="success"} 1',
    'workqueue_adds_total{name="test"',
    'leader_election_term{name="lease"} 0',
  ]) {
    assert.ok(await isTold(line), `${line} is missing in\n${await common.metrics.registry.metrics()}`);
  }
  stop.abort();
  await running;
  assert.ok(await isTold('leader_election_master_status{name="lease"} 0'));
});
