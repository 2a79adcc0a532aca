import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { FakeClock } from "../lib/fake-clock.ts";
import type { FakeRequest, FakeResponse } from "./fake/server.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { Informer, type InformerOptions } from "./informer.ts";
import { mergePatch } from "./request.ts";
import { CONFIG_MAPS, type ConfigMap } from "./resources.ts";
import { settle } from "./testing/turns.ts";

const DEADLINE_MS = 30_000;
const isList = ({ method, path }: FakeRequest) => method === "GET" && !path.includes("watch=true");
const isWatch = ({ path }: FakeRequest) => path.includes("watch=true");

const started: AbortController[] = [];
afterEach(() => {
  for (const stop of started.splice(0)) {
    stop.abort();
  }
});

/** A fake server, an informer of it on its own clock, and a handler that writes down what it is told. */
function start(options: Partial<InformerOptions<ConfigMap>> = {}, objects = 0) {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS] });
  const client = fakeClient(server);
  const configMaps = client.resource(CONFIG_MAPS).namespace("default");
  const clock = new FakeClock();
  const informer = new Informer({
    resource: configMaps,
    clock,
    random: () => 0,
    freeze: true,
    auditMs: 0,
    ...options,
  });
  const told: string[] = [];
  informer.addHandler({
    name: "test",
    onAdd: ({ metadata }, isInInitialList) =>
      told.push(`${isInInitialList ? "initial" : "add"} ${metadata.name}`),
    onUpdate: (_, { metadata }) => told.push(`update ${metadata.name}`),
    onDelete: ({ metadata }, isKnown) => told.push(`${isKnown ? "delete" : "tombstone"} ${metadata.name}`),
  });
  const stop = new AbortController();
  started.push(stop);
  const make = (name: string) => configMaps.create({ metadata: { name } });
  const ready = (async () => {
    for (let index = 0; index < objects; index += 1) {
      await make(`old-${index}`);
    }
  })();
  let running: Promise<void> | undefined;
  return {
    server,
    configMaps,
    informer,
    told,
    clock,
    make,
    async run() {
      await ready;
      running = informer.run(stop.signal);
      await informer.waitForSync(AbortSignal.timeout(DEADLINE_MS));
    },
    /** Starts without waiting for the first list. */
    async launch() {
      await ready;
      running = informer.run(stop.signal);
    },
    /** Waits until the informer waits to try again, and lets that time pass. @returns how long, in ms */
    async backOff() {
      await until(
        () => clock.nextInMs !== undefined && clock.nextInMs <= 60_000 && server.watches.size === 0,
      );
      const waitedMs = clock.nextInMs ?? 0;
      clock.advance(waitedMs);
      return waitedMs;
    },
    async end() {
      stop.abort();
      await running;
      assert.equal(clock.pending, 0, "no timer is left");
      assert.equal(server.watches.size, 0, "no watch is left");
    },
  };
}

/** Lets everything that is under way go on until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  while (!condition()) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const seen = (informer: Informer<ConfigMap>, made: ConfigMap) =>
  until(() => Number(informer.resourceVersion) >= Number(made.metadata.resourceVersion));

describe("the reflector", () => {
  for (const streamingList of [true, false]) {
    const way = streamingList ? "as a stream" : "in pages";
    test(`lists ${way}, then tells adds, updates and deletes in order`, async () => {
      const it = start({ streamingList, pageSize: 2 }, 5);
      await it.run();
      assert.equal(it.informer.size, 5);
      const lists = it.server.requests.filter(isList).length;
      assert.equal(lists, streamingList ? 0 : 3);
      await it.make("new");
      await it.configMaps.patch("new", mergePatch({ data: { n: "1" } }));
      await it.configMaps.delete("new");
      await until(() => it.told.at(-1) === "delete new");
      assert.deepEqual(it.told.slice(5), ["add new", "update new", "delete new"]);
      assert.ok(it.told.slice(0, 5).every((line) => line.startsWith("initial old-")));
      await it.end();
    });
  }

  test("resumes where it was when the stream breaks: no list, nothing told twice, nothing missed", async () => {
    const it = start({}, 1);
    await it.run();
    const last = await it.make("before-the-gap");
    await seen(it.informer, last);
    const [watch] = it.server.watches;
    watch?.break();
    await it.make("during-the-gap");
    await it.backOff();
    await until(() => it.informer.size === 3);
    assert.deepEqual(it.told.slice(1), ["add before-the-gap", "add during-the-gap"]);
    assert.match(
      it.server.requests.findLast(isWatch)?.path ?? "",
      new RegExp(`[?&]resourceVersion=${last.metadata.resourceVersion}&`),
    );
    assert.equal(
      it.server.requests.filter((request) => request.path.includes("sendInitialEvents")).length,
      1,
    );
    await it.end();
  });

  test("resumes at a bookmark's version, so a compaction of what is older costs no list", async () => {
    const it = start({}, 1);
    await it.run();
    it.server.compact();
    const [watch] = it.server.watches;
    watch?.bookmark();
    await until(() => it.informer.resourceVersion === String(it.server.storage.version));
    watch?.end();
    await until(() => it.server.requests.filter(isWatch).length === 2);
    const last = it.server.requests.findLast(isWatch)?.path ?? "";
    assert.match(last, new RegExp(`resourceVersion=${it.server.storage.version}\\b`));
    assert.doesNotMatch(last, /sendInitialEvents/);
    await it.end();
  });

  test("lists anew after 410 in a watch, and tells what vanished meanwhile as tombstones", async () => {
    const it = start({}, 2);
    await it.run();
    const [watch] = it.server.watches;
    watch?.break();
    await it.configMaps.delete("old-0");
    it.server.compact();
    await it.backOff();
    await it.backOff();
    await until(() => it.informer.size === 1);
    assert.deepEqual(it.told.slice(2), ["tombstone old-0"]);
    await it.end();
  });

  test("takes one list without pages when the continue token expires between two", async () => {
    const it = start({ streamingList: false, pageSize: 2 }, 5);
    let pages = 0;
    it.server.intercept = (request) => {
      if (isList(request) && request.path.includes("limit=")) {
        pages += 1;
        if (pages === 2) {
          it.server.compact();
        }
      }
      return undefined;
    };
    await it.run();
    assert.equal(it.informer.size, 5);
    assert.equal(it.server.requests.filter(isList).length, 3);
    assert.doesNotMatch(it.server.requests.findLast(isList)?.path ?? "", /limit|continue/);
    await it.end();
  });

  test("falls back to pages at once where the server cannot stream lists", async () => {
    const it = start({}, 3);
    it.server.intercept = ({ path }) =>
      path.includes("sendInitialEvents")
        ? {
            statusCode: 422,
            body: { kind: "Status", code: 422, reason: "Invalid", message: "sendInitialEvents is forbidden" },
          }
        : undefined;
    await it.run();
    assert.equal(it.informer.size, 3);
    assert.equal(it.server.requests.filter(isList).length, 1);
    await it.end();
  });

  test("never takes over half a streaming list", async () => {
    const it = start({}, 3);
    let isFirst = true;
    it.server.intercept = ({ path }): FakeResponse | undefined => {
      if (!isFirst || !path.includes("sendInitialEvents")) {
        return undefined;
      }
      isFirst = false;
      const item = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "old-0", namespace: "default" } };
      return { statusCode: 200, text: `${JSON.stringify({ type: "ADDED", object: item })}\n` };
    };
    await it.launch();
    await it.backOff();
    await until(() => it.informer.hasSynced);
    assert.deepEqual(it.told, ["initial old-0", "initial old-1", "initial old-2"]);
    await it.end();
  });

  const line = (type: string, name: string, version: number, metadata: object = {}) =>
    `${JSON.stringify({
      type,
      object: {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name, namespace: "default", uid: name, resourceVersion: String(version), ...metadata },
      },
    })}\n`;

  test("takes changes into account that come between a streaming list's objects and its end", async () => {
    const it = start();
    it.server.compact();
    const end = { annotations: { "k8s.io/initial-events-end": "true" } };
    const lines = [
      line("ADDED", "stays", 10),
      line("ADDED", "goes", 11),
      line("ADDED", "changes", 12),
      line("DELETED", "goes", 20),
      line("MODIFIED", "changes", 21),
      line("ADDED", "goes", 11),
      line("BOOKMARK", "", it.server.storage.version, end),
    ];
    it.server.intercept = ({ path }) =>
      path.includes("sendInitialEvents") ? { statusCode: 200, text: lines.join("") } : undefined;
    await it.run();
    assert.deepEqual(it.told, ["initial stays", "initial changes"]);
    assert.equal(it.informer.get("default/changes")?.metadata.resourceVersion, "21");
    await it.end();
  });

  test("lists in pages after a streaming list that failed, and as a stream again the time after", async () => {
    const it = start({}, 1);
    let left = 1;
    it.server.intercept = ({ path }) =>
      path.includes("sendInitialEvents") && left-- > 0 ? { statusCode: 500, text: "boom" } : undefined;
    await it.launch();
    await it.backOff();
    await until(() => it.informer.hasSynced);
    assert.equal(it.server.requests.filter(isList).length, 1);
    it.server.compact();
    await it.make("new");
    it.server.compact();
    const [watch] = it.server.watches;
    watch?.break();
    await it.backOff();
    await it.backOff();
    await until(
      () => it.server.requests.filter(({ path }) => path.includes("sendInitialEvents")).length === 2,
    );
    assert.equal(it.server.requests.filter(isList).length, 1);
    await it.end();
  });

  test("does not wait for the end of a streaming list from a server that does not know what that is", async () => {
    const it = start({}, 1);
    const text = line("ADDED", "old-0", 1) + line("BOOKMARK", "", 2);
    it.server.intercept = ({ path }) =>
      path.includes("sendInitialEvents") ? { statusCode: 200, text } : undefined;
    await it.launch();
    await it.backOff();
    await until(() => it.informer.hasSynced);
    assert.deepEqual(it.told, ["initial old-0"]);
    await it.end();
  });

  test("opens a watch anew whose bytes trickle and never make up a line", async () => {
    const it = start({}, 1);
    await it.run();
    const [watch] = it.server.watches;
    watch?.mute();
    for (let second = 0; second < 180; second += 1) {
      watch?.push(" ");
      it.clock.advance(1000);
    }
    await it.backOff();
    const made = await it.make("after");
    await seen(it.informer, made);
    assert.deepEqual(it.told, ["initial old-0", "add after"]);
    await it.end();
  });

  const faults: { name: string; answer: FakeResponse }[] = [
    { name: "a page of HTML with 200", answer: { statusCode: 200, text: "<html>log in</html>\n" } },
    { name: "half a line", answer: { statusCode: 200, text: '{"type":"ADD' } },
    { name: "500", answer: { statusCode: 500, text: "boom" } },
    { name: "503 for everything", answer: { statusCode: 503, text: "" } },
    { name: "403", answer: { statusCode: 403, body: { kind: "Status", code: 403, reason: "Forbidden" } } },
    {
      name: "404, as for a CRD that is not there yet",
      answer: { statusCode: 404, text: "404 page not found" },
    },
    { name: "an empty stream", answer: { statusCode: 200, text: "" } },
  ];
  for (const { name, answer } of faults) {
    test(`recovers from ${name}, at the start and in the middle, with a pause before each try`, async () => {
      const it = start({}, 2);
      let left = 3;
      it.server.intercept = ({ method }) => (method === "GET" && left-- > 0 ? answer : undefined);
      await it.launch();
      for (let tries = 0; tries < 3; tries += 1) {
        await it.backOff();
      }
      await until(() => it.informer.hasSynced);
      left = 2;
      const [watch] = it.server.watches;
      watch?.break();
      await it.backOff();
      await it.backOff();
      await it.backOff();
      left = 0;
      const made = await it.make("after");
      await seen(it.informer, made);
      assert.deepEqual(
        it.informer
          .list()
          .map(({ metadata }) => metadata.name)
          .sort(),
        ["after", "old-0", "old-1"],
      );
      assert.deepEqual(it.told.sort(), ["add after", "initial old-0", "initial old-1"]);
      await it.end();
    });
  }

  test("waits as long as 429 asks for", async () => {
    const it = start({ streamingList: true }, 1);
    let left = 1;
    it.server.intercept = ({ method }) =>
      method === "GET" && left-- > 0
        ? { statusCode: 429, text: "later", headers: { "retry-after": "45" } }
        : undefined;
    await it.launch();
    await until(() => it.clock.nextInMs === 45_000);
    it.clock.advance(45_000);
    await until(() => it.informer.hasSynced);
    await it.end();
  });

  test("lists anew after two watches that stayed silent, as those from a restored server's future do", async () => {
    const it = start({}, 2);
    await it.run();
    const backup = it.server.storage.snapshot();
    const lost = await it.make("lost");
    await it.configMaps.delete("old-0");
    await seen(it.informer, lost);
    await until(() => it.informer.size === 2);
    const waiting = it.informer.waitForVersion("999", { timeoutMs: 3_600_000 });
    it.server.storage.restore(backup);
    for (const watch of it.server.watches) watch.break();
    await it.backOff();
    for (let silences = 0; silences < 2; silences += 1) {
      assert.equal(it.informer.restores, 0);
      await until(() => it.server.watches.size === 1);
      await until(() => {
        if (it.server.watches.size === 1) it.clock.advance(1000);
        return it.server.watches.size === 0;
      });
      await it.backOff();
    }
    // Five lists are too old to be believed.
    for (let lists = 0; lists < 5; lists += 1) await it.backOff();
    await until(() => it.informer.restores === 1);
    await waiting;
    assert.deepEqual(it.told.slice(2), ["add lost", "delete old-0", "add old-0", "tombstone lost"]);
    await it.end();
  });

  test("does not believe a list older than what it has seen, and does when it stays so", async () => {
    const it = start({ streamingList: false }, 1);
    await it.run();
    const stale = { kind: "ConfigMapList", metadata: { resourceVersion: "7" }, items: [] };
    let lists = 0;
    it.server.intercept = (request) => {
      if (isList(request)) {
        lists += 1;
        return { statusCode: 200, body: stale };
      }
      return undefined;
    };
    const [watch] = it.server.watches;
    it.server.compact();
    watch?.break();
    await it.backOff();
    for (let tries = 0; tries < 5; tries += 1) {
      await it.backOff();
      assert.equal(it.informer.size, 1, "the stale list is not taken");
    }
    await it.backOff();
    await until(() => it.informer.size === 0);
    assert.equal(lists, 6);
    await it.end();
  });

  /** Breaks the watch again and again, each after it has lived so long. @returns the waits that followed, in ms */
  async function waitsAfterBreaks(livedMs: number, breaks: number, isTold: boolean): Promise<number[]> {
    const it = start({}, 1);
    await it.run();
    const waits: number[] = [];
    for (let index = 0; index < breaks; index += 1) {
      await until(() => it.server.watches.size === 1);
      if (isTold) await seen(it.informer, await it.make(`told-${index}`));
      await settle(8);
      it.clock.advance(livedMs);
      const [watch] = it.server.watches;
      watch?.break();
      waits.push(await it.backOff());
    }
    await it.end();
    return waits;
  }

  test("waits no longer than the first time when watches live longer than the wait, or tell something", async () => {
    assert.deepEqual(await waitsAfterBreaks(1000, 5, false), [800, 800, 800, 800, 800]);
    assert.deepEqual(await waitsAfterBreaks(0, 5, true), [800, 800, 800, 800, 800]);
  });

  test("waits longer each time when watches break at once", async () => {
    // The first has told of the list.
    assert.deepEqual(await waitsAfterBreaks(700, 5, false), [800, 1600, 3200, 6400, 12_800]);
  });

  test("a deleted and re-created CRD leaves the new objects only", async () => {
    const it = start({}, 2);
    await it.run();
    it.server.unregister(CONFIG_MAPS);
    await until(() => it.server.requests.filter(isWatch).length === 2);
    it.server.register(CONFIG_MAPS);
    await it.make("reborn");
    await it.backOff();
    await until(() => it.informer.get("default/reborn") !== undefined);
    assert.equal(it.informer.size, 1);
    await it.end();
  });

  for (const nonsense of ["null", "17", '{"type":"ADDED"}', '{"type":"MODIFIED","object":{}}']) {
    test(`lists anew after a line that is JSON and no event: ${nonsense}`, async () => {
      const it = start({ streamingList: false }, 1);
      await it.run();
      const [watch] = it.server.watches;
      watch?.push(`${nonsense}\n`);
      watch?.mute();
      await it.make("after");
      await it.backOff();
      await until(() => it.informer.get("default/after") !== undefined);
      assert.equal(it.server.requests.filter(isList).length, 2);
      await it.end();
    });
  }

  test("refuses a line above the limit", async () => {
    const it = start({ maxLineBytes: 4096, streamingList: false }, 1);
    await it.run();
    await it.configMaps.create({ metadata: { name: "huge" }, data: { big: "x".repeat(5000) } });
    await it.backOff();
    await until(() => it.informer.get("default/huge") !== undefined);
    assert.ok(it.server.requests.filter(isList).length >= 2, "the list brought what the watch could not");
    await it.end();
  });
});

describe("the informer", () => {
  test("goes on after a handler that throws, and tells the others", async () => {
    const it = start({}, 1);
    it.informer.addHandler({
      name: "broken",
      onAdd: () => {
        throw new Error("broken handler");
      },
    });
    const others: string[] = [];
    it.informer.addHandler({ name: "other", onAdd: ({ metadata }) => others.push(metadata.name) });
    await it.run();
    await it.make("new");
    await until(() => others.includes("new"));
    assert.equal(it.informer.size, 2);
    await it.end();
  });

  test("tells a late handler of all that is there, and a removed one of nothing", async () => {
    const it = start({}, 2);
    await it.run();
    const late: string[] = [];
    const remove = it.informer.addHandler({
      name: "late",
      onAdd: ({ metadata }) => late.push(metadata.name),
    });
    assert.deepEqual(late.sort(), ["old-0", "old-1"]);
    remove();
    await seen(it.informer, await it.make("new"));
    assert.equal(late.length, 2);
    await it.end();
  });

  test("tells a handler that another adds on the way of everything once, and one that it takes away of no more", async () => {
    const it = start({}, 3);
    const late: string[] = [];
    const leaving: string[] = [];
    it.informer.addHandler({
      name: "adds and removes",
      onAdd: () => {
        if (late.length === 0) {
          it.informer.addHandler({ name: "late", onAdd: ({ metadata }) => late.push(metadata.name) });
          remove();
        }
      },
    });
    const remove = it.informer.addHandler({
      name: "leaving",
      onAdd: ({ metadata }) => leaving.push(metadata.name),
    });
    await it.run();
    assert.deepEqual(late, ["old-0", "old-1", "old-2"]);
    assert.deepEqual(leaving, []);
    await it.end();
  });

  test("two audits at once do not hide each other's deletes", async () => {
    const it = start({}, 2);
    await it.run();
    const long = it.informer.audit(AbortSignal.timeout(DEADLINE_MS));
    const short = it.informer.audit(AbortSignal.timeout(DEADLINE_MS));
    await it.configMaps.delete("old-1");
    assert.deepEqual(await Promise.all([long, short]), [[], []]);
    await it.end();
  });

  test("resyncs from the cache without a request", async () => {
    const it = start({ resyncMs: 60_000 }, 2);
    await it.run();
    const before = it.server.requests.length;
    it.clock.advance(60_000);
    assert.deepEqual(it.told.slice(2).sort(), ["update old-0", "update old-1"]);
    assert.equal(it.server.requests.length, before);
    await it.end();
  });

  test("an audit finds nothing in a sound cache, whatever goes on meanwhile, and finds and repairs a loss", async () => {
    const it = start({}, 3);
    await it.run();
    const busy = Promise.all([it.make("meanwhile"), it.configMaps.delete("old-2")]);
    assert.deepEqual(await it.informer.audit(AbortSignal.timeout(DEADLINE_MS)), []);
    await busy;
    const [watch] = it.server.watches;
    watch?.mute();
    const lost = await it.make("lost");
    const audited = it.informer.audit(AbortSignal.timeout(DEADLINE_MS));
    await until(
      () => it.server.requests.at(-1)?.headers["accept"]?.includes("PartialObjectMetadataList") === true,
    );
    watch?.bookmark();
    assert.deepEqual(await audited, ["default/lost"]);
    watch?.bookmark();
    await until(() => it.informer.get("default/lost") !== undefined);
    assert.equal(it.informer.get("default/lost")?.metadata.uid, lost.metadata.uid);
    await it.end();
  });

  test("an audit of a selection asks for that selection", async () => {
    const it = start({ labelSelector: "label=mine", fieldSelector: "metadata.name!=other" }, 1);
    for (const name of ["mine", "other"]) {
      await it.configMaps.create({ metadata: { name, labels: { label: "mine" } } });
    }
    await it.run();
    assert.deepEqual(await it.informer.audit(AbortSignal.timeout(DEADLINE_MS)), []);
    assert.deepEqual(
      it.informer.list().map(({ metadata }) => metadata.name),
      ["mine"],
    );
    await it.end();
  });

  test("an audit waits until the cache has come as far as the list", async () => {
    const it = start({}, 1);
    await it.run();
    const [watch] = it.server.watches;
    watch?.mute();
    await it.configMaps.patch("old-0", mergePatch({ data: { n: "1" } }));
    const audited = it.informer.audit(AbortSignal.timeout(DEADLINE_MS));
    await until(() => it.clock.pending > 1);
    const [change] = it.server.storage.get(CONFIG_MAPS).changes.slice(-1);
    watch?.push({ type: "MODIFIED", object: change?.object });
    assert.deepEqual(await audited, []);
    await it.end();
  });

  test("one who waits for a version in vain keeps no other from seeing his", async () => {
    const it = start({}, 1);
    await it.run();
    const version = Number((await it.make("new")).metadata.resourceVersion);
    const patient = it.informer.waitForVersion(String(version + 2), { timeoutMs: 60_000 });
    const hasty = it.informer.waitForVersion(String(version + 1000), { timeoutMs: 1000 });
    it.clock.advance(1000);
    await assert.rejects(hasty);
    await it.make("newer");
    await it.make("newest");
    await patient;
    await it.end();
  });

  test("waiting for a version that never comes ends with a timeout that says where the cache is", async () => {
    const it = start({}, 1);
    await it.run();
    const waiting = it.informer.waitForVersion("999999", { timeoutMs: 1000 });
    it.clock.advance(1000);
    await assert.rejects(waiting, /wait for configmaps of version 999999: the cache is at \d+ after 1000 ms/);
    await it.end();
  });
});
