import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { EventCorrelator } from "./event-correlator.ts";
import { EventRecorder } from "./events.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { EVENTS, NODES, PODS } from "./resources.ts";
import { until } from "./testing/turns.ts";

describe("the event correlator", () => {
  const warning = (message: string) => ({ type: "Warning" as const, reason: "Failed", message });
  const names = () => {
    let count = 0;
    return () => `event-${count++}`;
  };

  test("counts the same event up on the first one's name", () => {
    const correlator = new EventCorrelator();
    const name = names();
    assert.equal(correlator.correlate("uid", warning("no disk"), 0, name).outcome, "create");
    assert.deepEqual(correlator.correlate("uid", warning("no disk"), 1000, name), {
      outcome: "update",
      name: "event-0",
      message: "no disk",
      firstMs: 0,
      count: 2,
    });
    assert.equal(correlator.correlate("other uid", warning("no disk"), 1000, name).outcome, "create");
  });

  test("puts the eleventh message of one reason within 10 min and all after it into one event", () => {
    const correlator = new EventCorrelator();
    const name = names();
    const outcomes = Array.from({ length: 13 }, (_, index) =>
      correlator.correlate("uid", warning(`try ${index}`), index, name),
    );
    assert.ok(outcomes.slice(0, 11).every(({ outcome }) => outcome === "create"));
    const [eleventh, twelfth, last] = outcomes.slice(10);
    assert.ok(
      eleventh?.outcome === "create" && eleventh.message === "(combined from similar events): try 10",
    );
    assert.ok(twelfth?.outcome === "update" && twelfth.name === "event-10");
    assert.ok(last?.outcome === "update" && last.count === 3);
    const later = correlator.correlate("uid", warning("after a pause"), 700_000, name);
    assert.ok(later.outcome === "create" && later.message === "after a pause");
  });

  test("lets an object have 25 events at once and one more every 5 min", () => {
    const correlator = new EventCorrelator();
    const name = names();
    const outcomes = Array.from(
      { length: 30 },
      () => correlator.correlate("uid", warning("again"), 0, name).outcome,
    );
    assert.equal(outcomes.filter((outcome) => outcome !== "drop").length, 25);
    assert.equal(correlator.correlate("uid", warning("again"), 299_999, name).outcome, "drop");
    const update = correlator.correlate("uid", warning("again"), 300_000, name);
    assert.ok(update.outcome === "update");
    assert.equal(update.count, 32, "what was dropped is counted");
    assert.equal(correlator.correlate("uid", warning("again"), 300_000, name).outcome, "drop");
    assert.equal(correlator.correlate("neighbour", warning("again"), 300_000, name).outcome, "create");
  });
});

describe("the event recorder", () => {
  const start = async () => {
    const server = new FakeApiServer({ resources: [EVENTS, PODS, NODES] });
    const client = fakeClient(server);
    const clock = new FakeClock();
    const recorder = new EventRecorder({ client, component: "virtpod-operator", clock });
    const stop = new AbortController();
    const pod = await client
      .resource(PODS)
      .create({ metadata: { name: "vm-a", namespace: "default" }, spec: { containers: [] } });
    const running = recorder.run(stop.signal);
    const end = async () => {
      stop.abort();
      await running;
      assert.equal(clock.pending, 0);
    };
    return { server, client, clock, recorder, pod, end };
  };
  const started = { type: "Normal", reason: "Started", message: "Started the machine" } as const;

  test("writes what kubectl describe looks for, and counts repetitions up", async () => {
    const it = await start();
    it.recorder.record(it.pod, started);
    it.clock.advance(2000);
    it.recorder.record(it.pod, started);
    await until(() => it.server.list(EVENTS)[0]?.count === 2);
    const [event, ...others] = it.server.list(EVENTS);
    assert.equal(others.length, 0);
    const { apiVersion, kind } = it.pod;
    const { name, namespace, uid, resourceVersion } = it.pod.metadata;
    assert.deepEqual(event?.involvedObject, { apiVersion, kind, name, namespace, uid, resourceVersion });
    assert.deepEqual(
      [event?.type, event?.reason, event?.source?.component, event?.firstTimestamp, event?.lastTimestamp],
      ["Normal", "Started", "virtpod-operator", "2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"],
    );
    await it.end();
  });

  test("makes an event anew when the server has forgotten it", async () => {
    const it = await start();
    it.recorder.record(it.pod, started);
    await until(() => it.server.list(EVENTS).length === 1);
    await it.client
      .resource(EVENTS)
      .namespace("default")
      .delete(it.server.list(EVENTS)[0]?.metadata.name ?? "");
    it.recorder.record(it.pod, started);
    await until(() => it.server.list(EVENTS).length === 1);
    assert.equal(it.server.list(EVENTS)[0]?.count, 2);
    await it.end();
  });

  test("tries again while the server is away, in order, and gives up what it refuses", async () => {
    const it = await start();
    let left = 2;
    it.server.intercept = ({ path }) =>
      path.includes("/events") && left-- > 0 ? { statusCode: 503, text: "away" } : undefined;
    it.recorder.record(it.pod, started);
    it.recorder.record(it.pod, { ...started, reason: "Second" });
    for (let tries = 0; tries < 2; tries += 1) {
      await until(() => (it.clock.nextInMs ?? Number.POSITIVE_INFINITY) <= 15_000);
      it.clock.advance(15_000);
    }
    await until(() => it.server.list(EVENTS).length === 2);
    it.server.intercept = () => ({ statusCode: 403, text: "namespace is going away" });
    it.recorder.record(it.pod, { ...started, reason: "Third" });
    await until(() => it.server.requests.at(-1)?.body.includes("Third") === true);
    it.server.intercept = undefined;
    it.recorder.record(it.pod, { ...started, reason: "Fourth" });
    await it.end();
    assert.deepEqual(
      it.server.list(EVENTS).map(({ reason }) => reason),
      ["Started", "Second", "Fourth"],
    );
  });

  test("writes nothing of what an object has no events left for", async () => {
    const it = await start();
    for (let count = 0; count < 30; count += 1) it.recorder.record(it.pod, started);
    await it.end();
    const [event, ...others] = it.server.list(EVENTS);
    assert.deepEqual([event?.count, others.length], [25, 0]);
    assert.equal(it.server.writes.filter(({ path }) => path.includes("/events")).length, 25);
  });

  test("gives an event about an object of the longest name a valid one", async () => {
    const it = await start();
    const node = await it.client.resource(NODES).create({ metadata: { name: `${"n-".repeat(126)}n` } });
    it.recorder.record(node, started);
    await until(() => it.server.list(EVENTS).length === 1);
    assert.match(it.server.list(EVENTS)[0]?.metadata.name ?? "", /^(n-)+n\.[0-9a-f]{16}$/);
    await it.end();
  });

  test("files an event about a node under default, and cuts a message at 1024 bytes between two characters", async () => {
    const it = await start();
    const node = await it.client.resource(NODES).create({ metadata: { name: "n" } });
    it.recorder.record(node, { ...started, message: "ü".repeat(600) });
    await until(() => it.server.list(EVENTS).length === 1);
    const [event] = it.server.list(EVENTS);
    assert.deepEqual([event?.metadata.namespace, event?.involvedObject.namespace], ["default", undefined]);
    assert.ok(Buffer.byteLength(event?.message ?? "") <= 1024);
    assert.match(event?.message ?? "", /^ü{510}…$/);
    await it.end();
  });
});
