import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import { Controller, type ControllerOptions, type Reconcile, TerminalError, watch } from "./controller.ts";
import { ConflictError } from "./errors.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { Informer } from "./informer.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { KubeMetrics } from "./metrics.ts";
import { controllerReference } from "./ownership.ts";
import { mergePatch } from "./request.ts";
import { CONFIG_MAPS, type ConfigMap, NODES, PODS } from "./resources.ts";
import { until } from "./testing/turns.ts";

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) {
    stop.abort();
  }
});

/** A controller of ConfigMaps that own Pods and look at Nodes, on a fake clock. */
function start(reconcile: Reconcile, options: Partial<ControllerOptions<ConfigMap>> = {}) {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS, PODS, NODES] });
  const client = fakeClient(server);
  const clock = new FakeClock();
  const metrics = new KubeMetrics();
  const configMaps = new Informer({ resource: client.resource(CONFIG_MAPS), freeze: true, auditMs: 0 });
  const pods = new Informer({ resource: client.resource(PODS), freeze: true, auditMs: 0 });
  const nodes = new Informer({ resource: client.resource(NODES), freeze: true, auditMs: 0 });
  const controller = new Controller({
    name: "test",
    for: { informer: configMaps },
    owns: [pods],
    watches: [watch(nodes, (node) => [`default/${node.metadata.labels?.["for"]}`])],
    reconcile,
    clock,
    metrics,
    ...options,
  });
  const stop = new AbortController();
  stops.push(stop);
  const run = () => {
    const informers = [configMaps, pods, nodes].map((informer) => informer.run(stop.signal));
    return { controller: controller.run(stop.signal), all: Promise.all(informers) };
  };
  const count = async (name: string, labels: Record<string, string> = {}) => {
    const metric = await metrics.registry.getSingleMetric(name)?.get();
    const found = metric?.values.find(({ labels: has }) =>
      Object.entries(labels).every(([label, value]) => (has as Record<string, unknown>)[label] === value),
    );
    return found?.value;
  };
  const make = (name: string) =>
    client.resource(CONFIG_MAPS).create({ metadata: { name, namespace: "default" } });
  return { server, client, clock, controller, configMaps, pods, stop, run, count, make };
}

describe("the controller", () => {
  test("reconciles what is there, and whatever an event of the kind, an owned or a watched kind leads to", async () => {
    const keys: string[] = [];
    const it = start(async ({ key }) => {
      keys.push(key);
    });
    const owner = await it.make("a");
    it.run();
    await until(() => keys.join() === "default/a");
    const metadata = { name: "child", namespace: "default", ownerReferences: [controllerReference(owner)] };
    await it.client.resource(PODS).create({ metadata, spec: { containers: [] } });
    await until(() => keys.length === 2);
    await it.client.resource(NODES).create({ metadata: { name: "n", labels: { for: "b" } } });
    await until(() => keys.length === 3);
    await it.client.resource(CONFIG_MAPS).namespace("default").delete("a", { propagationPolicy: "Orphan" });
    await until(() => keys.length >= 4);
    assert.deepEqual([...new Set(keys)], ["default/a", "default/b"]);
  });

  test("an object that changes hands wakes both, who had it and who has it", async () => {
    const keys: string[] = [];
    const it = start(async ({ key }) => {
      keys.push(key);
    });
    const nodes = it.client.resource(NODES);
    await nodes.create({ metadata: { name: "n", labels: { for: "a" } } });
    it.run();
    await until(() => keys.join() === "default/a");
    await nodes.patch("n", mergePatch({ metadata: { labels: { for: "b" } } }));
    await until(() => keys.length === 3);
    assert.deepEqual(keys.slice(1).sort(), ["default/a", "default/b"]);
  });

  test("takes what was there before behind what somebody just did", async () => {
    const gate = Promise.withResolvers<void>();
    const keys: string[] = [];
    const it = start(async ({ key }) => {
      keys.push(key);
      await gate.promise;
    });
    for (const name of ["a", "b", "c"]) {
      await it.make(name);
    }
    it.run();
    await until(() => keys.length === 1);
    await it.make("user");
    await until(() => it.configMaps.size === 4);
    gate.resolve();
    await until(() => keys.length === 4);
    assert.equal(keys[1], "default/user");
  });

  test("counts each of the four exits and asks the queue for each what its contract says", async () => {
    const answers: (() => object | undefined)[] = [
      () => {
        throw new Error("first");
      },
      () => {
        throw new ConflictError("behind");
      },
      () => ({ requeue: true }),
      () => ({ requeueAfterMs: 60_000 }),
      () => undefined,
    ];
    let runs = 0;
    const it = start(async () => answers[runs++]?.());
    await it.make("a");
    it.run();
    for (const [index, delayMs] of [5, 10, 20, 60_000].entries()) {
      await until(() => runs === index + 1 && it.clock.nextInMs === delayMs);
      it.clock.advance(delayMs);
    }
    await until(
      async () => (await it.count("controller_runtime_reconcile_total", { result: "success" })) === 1,
    );
    assert.equal(it.controller.queue.retries("default/a"), 0);
    const total = (result: string) => it.count("controller_runtime_reconcile_total", { result });
    assert.deepEqual([await total("error"), await total("requeue"), await total("requeue_after")], [1, 2, 1]);
    assert.equal(await it.count("controller_runtime_reconcile_errors_total"), 1);
    assert.equal(await it.count("workqueue_retries_total"), 3);
  });

  test("says aloud that a server-side apply met another's field: trying again does not help by itself", async () => {
    const it: ReturnType<typeof start> = start(async ({ name, namespace }) => {
      const pods = it.client.resource(PODS).namespace(namespace);
      const pod = (image: string) => ({ metadata: { name }, spec: { containers: [{ name: "c", image }] } });
      await pods.apply(pod("theirs"), { fieldManager: "they", force: true });
      await pods.apply(pod("ours"), { fieldManager: "we" });
    });
    await it.make("a");
    it.run();
    await until(async () => (await it.count("controller_runtime_reconcile_errors_total")) === 1);
  });

  test("does not try a terminal error again, and counts a programming error as a panic", async () => {
    let runs = 0;
    const it = start(async () => {
      runs += 1;
      if (runs === 1) {
        throw new TerminalError("no use");
      }
      throw new TypeError("undefined is not a function");
    });
    await it.make("a");
    it.run();
    await until(async () => (await it.count("controller_runtime_terminal_reconcile_errors_total")) === 1);
    assert.equal(it.clock.nextInMs, undefined, "nothing is to come");
    await it.client
      .resource(CONFIG_MAPS)
      .namespace("default")
      .patch("a", mergePatch({ data: { n: "1" } }));
    await until(async () => (await it.count("controller_runtime_reconcile_panics_total")) === 1);
    assert.equal(runs, 2);

    assert.equal(it.clock.nextInMs, 5);
  });

  test("never runs a key twice at once, not even past its deadline, and then runs it once for any number of events", async () => {
    const gate = Promise.withResolvers<void>();
    let runs = 0;
    let running = 0;
    let isAborted = false;
    const it = start(
      async (_, { signal }) => {
        runs += 1;
        running += 1;
        assert.equal(running, 1);
        signal.addEventListener("abort", () => {
          isAborted = true;
        });
        if (runs === 1) {
          await gate.promise;
          signal.throwIfAborted();
        }
        running -= 1;
      },
      { concurrency: 4, reconcileTimeoutMs: 1000 },
    );
    await it.make("a");
    it.run();
    await until(() => runs === 1);
    for (const n of ["1", "2", "3"]) {
      await it.client
        .resource(CONFIG_MAPS)
        .namespace("default")
        .patch("a", mergePatch({ data: { n } }));
    }
    await until(() => it.configMaps.get("default/a")?.data?.["n"] === "3");
    it.clock.advance(1000);
    assert.equal(isAborted, true);
    running = 0;
    gate.resolve();
    await until(async () => (await it.count("controller_runtime_reconcile_timeouts_total")) === 1);
    await until(() => runs === 2);
    await until(async () => (await it.count("controller_runtime_active_workers")) === 0);
    assert.equal(runs, 2);
  });

  test("a reconcile past its deadline fails with what it was at as the cause", async () => {
    const errors: unknown[] = [];
    const logger: Logger = {
      ...silentLogger,
      error: (fields) => void errors.push(fields),
      child: () => logger,
    };
    const it = start(
      async (_, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        throw new Error("get pods default/a: aborted");
      },
      { reconcileTimeoutMs: 1000, logger },
    );
    await it.make("a");
    it.run();
    await until(async () => (await it.count("controller_runtime_active_workers")) === 1);
    it.clock.advance(1000);
    await until(() => errors.length === 1);
    const { err } = errors[0] as { err: Error };
    assert.match(err.message, /reconcile test default\/a: not done within 1000 ms/);
    assert.match((err.cause as Error).message, /get pods default\/a: aborted/);
  });

  test("a failing key does not hold back others", async () => {
    const done = new Set<string>();
    const it = start(async ({ name }) => {
      if (name === "bad") {
        throw new Error("always");
      }
      done.add(name);
    });
    for (const name of ["bad", "b", "c"]) {
      await it.make(name);
    }
    it.run();
    await until(() => done.size === 2);
  });

  test("waits for the caches before it works, and says which one did not come", async () => {
    let runs = 0;
    const it = start(
      async () => {
        runs += 1;
      },
      { syncTimeoutMs: 1000 },
    );
    await it.make("a");
    it.server.intercept = ({ path }) =>
      path.includes("/nodes") ? { statusCode: 403, text: "no" } : undefined;
    const { controller } = it.run();
    await until(() => it.configMaps.hasSynced && it.pods.hasSynced);
    assert.equal(runs, 0);
    it.clock.advance(1000);
    await assert.rejects(controller, /controller test: no list of nodes within 1000 ms; check RBAC and CRDs/);
  });

  test("at a stop it takes nothing new, gives the running reconciles their time and then aborts them", async () => {
    const seen: string[] = [];
    const it = start(
      ({ key }, { signal }) => {
        seen.push(key);
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
      { drainTimeoutMs: 500 },
    );
    await it.make("a");
    await it.make("b");
    const { controller } = it.run();
    await until(() => seen.length === 1);
    it.stop.abort();
    it.clock.advance(500);
    await controller;
    assert.deepEqual(seen, ["default/a"]);
    assert.equal(await it.count("controller_runtime_reconcile_errors_total"), 0, "it did not fail");
    assert.equal(it.clock.pending, 0);
  });
});
