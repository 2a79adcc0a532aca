import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../lib/fake-clock.ts";
import type { EventHandler } from "./event-handlers.ts";
import { FakeApiServer, type FakeResponse } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import type { WatchStream } from "./fake/watch.ts";
import { Informer } from "./informer.ts";
import { compareResourceVersions, keyOf } from "./objects.ts";
import type { ResourceClient } from "./resource-client.ts";
import { CONFIG_MAPS, type ConfigMap } from "./resources.ts";
import { settle } from "./testing/turns.ts";

const NAMES = ["a", "b", "c", "d", "e"];
const name = fc.constantFrom(...NAMES);

/** What may happen to the server, to the stream, or to the next requests to list and watch. */
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("write" as const), name }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("delete" as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("replay" as const), pick: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "break the stream" as const,
        "end the stream" as const,
        "cut a line" as const,
        "send HTML" as const,
        "send a bookmark" as const,
        "go deaf" as const,
        "reorder" as const,
        "compact" as const,
        "lose the kind" as const,
        "add a handler" as const,
        "remove a handler" as const,
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      answer: fc.constantFrom("500", "503", "403", "404", "401", "429", "HTML", "half a list", "nothing"),
    }),
  },
  // A write or a compaction just before the next page, or the next watch, is served.
  { weight: 3, arbitrary: fc.record({ do: fc.constant("write before the next answer" as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("compact before the next answer" as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 90_000 }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Follows the deltas and fails on one that does not follow from those before it. */
function mirrorOf(): EventHandler<ConfigMap> & { readonly objects: Map<string, ConfigMap> } {
  const objects = new Map<string, ConfigMap>();
  const version = (object: ConfigMap | undefined) => object?.metadata.resourceVersion ?? "";
  return {
    name: "mirror",
    objects,
    onAdd(object) {
      assert.ok(!objects.has(keyOf(object)), `${keyOf(object)} is told as new twice`);
      objects.set(keyOf(object), object);
    },
    onUpdate(previous, object) {
      const known = objects.get(keyOf(object));
      assert.equal(version(previous), version(known), "an update goes on from what was told last");
      assert.equal(object.metadata.uid, known?.metadata.uid, "another object is not an update");
      assert.ok(
        compareResourceVersions(version(object), version(known)) > 0,
        "an object does not go back in time",
      );
      objects.set(keyOf(object), object);
    },
    onDelete(object) {
      assert.equal(objects.get(keyOf(object))?.metadata.uid, object.metadata.uid, "what goes was there");
      objects.delete(keyOf(object));
    },
  };
}

function answerOf(kind: string): FakeResponse | undefined {
  const metadata = { name: "ghost", namespace: "default", uid: "ghost", resourceVersion: "1" };
  switch (kind) {
    case "HTML":
      return { statusCode: 200, text: "<html>log in</html>\n" };
    case "half a list":
      return { statusCode: 200, text: `${JSON.stringify({ type: "ADDED", object: { metadata } })}\n` };
    case "nothing":
      return { statusCode: 200, text: "" };
    case "429":
      return { statusCode: 429, text: "later", headers: { "retry-after": "100" } };
    default:
      return { statusCode: Number(kind), text: "no" };
  }
}

class World {
  readonly clock = new FakeClock();
  readonly server = new FakeApiServer({ resources: [CONFIG_MAPS], clock: this.clock });
  readonly #handlers: { mirror: ReturnType<typeof mirrorOf>; remove: () => void }[] = [];
  readonly informer: Informer<ConfigMap>;
  readonly #configMaps: ResourceClient<ConfigMap>;
  readonly #answers: string[] = [];
  readonly #before: (() => Promise<unknown>)[] = [];
  readonly #errors: unknown[] = [];
  readonly #deaf = new WeakSet<WatchStream>();
  /** A version that each stream began before: all changes since have been on it. */
  readonly #openedAt = new WeakMap<WatchStream, number>();
  #writes = 0;
  #isWriting = false;

  constructor(streamingList: boolean) {
    this.server.initialEventsMs = 500;
    const client = fakeClient(this.server);
    this.#configMaps = client.resource(CONFIG_MAPS).namespace("default");
    this.informer = new Informer({
      resource: this.#configMaps,
      clock: this.clock,
      random: () => 0.5,
      freeze: true,
      auditMs: 0,
      streamingList,
      pageSize: 2,
      // Handlers' errors are caught and counted; here they are what the test is about.
      logger: { debug() {}, info() {}, warn() {}, error: (fields) => this.#errors.push(fields), child: fail },
    });
    this.#addHandler();
    this.server.intercept = async ({ method }) => {
      if (method !== "GET" || this.#isWriting) {
        return undefined;
      }
      await this.#before.shift()?.();
      const kind = this.#answers.shift();
      return kind === undefined ? undefined : answerOf(kind);
    };
  }

  async run(step: Step): Promise<void> {
    const { server } = this;
    const watches = this.#hearing();
    switch (step.do) {
      case "write":
        return this.#write(step.name);
      case "delete":
        return this.#delete(step.name);
      case "replay":
        for (const watch of watches) {
          const since = this.#openedAt.get(watch) ?? server.storage.version;
          const sent = server.storage.get(CONFIG_MAPS).changes.filter(({ version }) => version > since);
          const change = sent[step.pick % Math.max(sent.length, 1)];
          if (change !== undefined) {
            watch.push({ type: change.type, object: change.object });
          }
        }
        return;
      case "break the stream":
        return watches.forEach((watch) => void watch.break());
      case "end the stream":
        return watches.forEach((watch) => void watch.end());
      case "cut a line":
        return watches.forEach((watch) => {
          watch.push('{"type":"ADDED","object":{"meta');
          watch.end();
        });
      case "send HTML":
        return watches.forEach((watch) => void watch.push("<html>\n"));
      case "send a bookmark":
        return watches.forEach((watch) => void watch.bookmark());
      case "go deaf":
        for (const watch of watches) {
          this.#deaf.add(watch);
          watch.mute();
        }
        return;
      case "reorder":
        return this.#reorder();
      case "compact":
        return server.compact();
      case "lose the kind":
        server.unregister(CONFIG_MAPS);
        await settle(8);
        server.register(CONFIG_MAPS);
        return server.compact();
      case "add a handler":
        return this.#addHandler();
      case "remove a handler": {
        const removed = this.#handlers.length > 1 ? this.#handlers.pop() : undefined;
        removed?.remove();
        // From now on it must be told nothing, and this would be told.
        removed?.mirror.objects.clear();
        return;
      }
      case "answer":
        this.#answers.push(step.answer);
        return;
      case "write before the next answer":
        this.#before.push(() => this.#write(step.name));
        return;
      case "compact before the next answer":
        this.#before.push(async () => server.compact());
        return;
      case "wait":
        return this.clock.advance(step.ms);
    }
  }

  /** What each handler was told is there. */
  get told(): ConfigMap[][] {
    return this.#handlers.map(({ mirror }) => [...mirror.objects.values()]);
  }

  /** Lets everything that is under way go on. */
  async settle(): Promise<void> {
    await settle(8);
    for (const watch of this.server.watches) {
      this.#openedAt.set(watch, this.#openedAt.get(watch) ?? this.server.storage.version);
    }
  }

  /** Ends all trouble and gives the informer the time it needs. */
  async heal(): Promise<void> {
    this.#answers.length = 0;
    this.#before.length = 0;
    await this.#write("last");
    const last = String(this.server.storage.version);
    for (let tries = 0; compareResourceVersions(this.informer.resourceVersion, last) < 0; tries += 1) {
      assert.ok(tries < 30, `the cache stays at ${this.informer.resourceVersion}, before ${last}`);
      this.clock.advance(this.clock.nextInMs ?? 0);
      await settle(8);
    }
    assert.deepEqual(this.#errors, []);
  }

  #addHandler(): void {
    const mirror = mirrorOf();
    this.#handlers.push({ mirror, remove: this.informer.addHandler(mirror) });
  }

  /** A stream that missed something says nothing more: one that went on would lie, which only an audit finds. */
  #hearing(): WatchStream[] {
    return [...this.server.watches].filter((watch) => !this.#deaf.has(watch));
  }

  async #write(name: string): Promise<void> {
    this.#isWriting = true;
    this.#writes += 1;
    const data = { n: String(this.#writes) };
    const known = this.server.get(CONFIG_MAPS, `default/${name}`);
    await (known === undefined
      ? this.#configMaps.create({ metadata: { name }, data })
      : this.#configMaps.update({ ...known, data }));
    this.#isWriting = false;
  }

  async #delete(name: string): Promise<void> {
    if (this.server.get(CONFIG_MAPS, `default/${name}`) !== undefined) {
      await this.#configMaps.delete(name);
    }
  }

  /** Tells two changes of different keys in the wrong order, and ends the stream. */
  async #reorder(): Promise<void> {
    const watches = this.#hearing();
    for (const watch of watches) {
      watch.mute();
    }
    const before = this.server.storage.version;
    await this.#write("a");
    await this.#write("b");
    const changes = this.server.storage.get(CONFIG_MAPS).changes.filter(({ version }) => version > before);
    for (const watch of watches) {
      for (const { type, object } of changes.toReversed()) {
        watch.push({ type, object });
      }
      watch.end();
    }
  }
}

function fail(): never {
  return assert.fail("no child logger is made here");
}

test("whatever befalls lists and watches, the cache ends as the server is, and each change is told once and in order", async () => {
  const steps = fc.array(step, { maxLength: 40, size: "max" });
  const property = fc.asyncProperty(fc.boolean(), steps, async (streamingList, steps) => {
    const world = new World(streamingList);
    for (const name of NAMES.slice(0, 3)) {
      await world.run({ do: "write", name });
    }
    const stop = new AbortController();
    const running = world.informer.run(stop.signal);
    await world.settle();
    for (const step of steps) {
      await world.run(step);
      await world.settle();
    }
    await world.heal();
    const present = (objects: Iterable<ConfigMap>) =>
      [...objects]
        .map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`)
        .sort();
    assert.deepEqual(present(world.informer.list()), present(world.server.list(CONFIG_MAPS)));
    for (const objects of world.told) {
      assert.deepEqual(present(objects), present(world.informer.list()));
    }
    stop.abort();
    await running;
    assert.equal(world.clock.pending, 0, "no timer is left");
    assert.equal(world.server.watches.size, 0, "no watch is left");
  });
  await fc.assert(property, { numRuns: 150 });
});
