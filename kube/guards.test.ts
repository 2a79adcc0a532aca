import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../lib/fake-clock.ts";
import { slowStartBatch } from "./batch.ts";
import { ConnectionWatchdog } from "./connection-watchdog.ts";
import { OwnWrites } from "./consistency.ts";
import { ConflictError } from "./errors.ts";
import { Expectations } from "./expectations.ts";
import { FakeApiServer } from "./fake/server.ts";
import { fakeClient } from "./fake/transport.ts";
import { LruMap } from "./lru.ts";
import { adopt, claim, controllerReference, isControlledBy, mayAdopt, release } from "./ownership.ts";
import { CONFIG_MAPS, type ConfigMap } from "./resources.ts";

describe("expectations", () => {
  test("hold a key until each create and each delete has been seen, and a delete told twice counts once", () => {
    const expectations = new Expectations(new FakeClock());
    assert.equal(expectations.isSatisfied("vm"), true);
    expectations.expectCreations("vm", 2);
    expectations.expectDeletions("vm", ["uid-1", "uid-2"]);
    expectations.creationObserved("vm");
    expectations.deletionObserved("vm", "uid-1");
    expectations.deletionObserved("vm", "uid-1");
    assert.equal(expectations.isSatisfied("vm"), false);
    expectations.creationObserved("vm");
    assert.equal(expectations.isSatisfied("vm"), false);
    expectations.deletionObserved("vm", "uid-2");
    assert.equal(expectations.isSatisfied("vm"), true);
  });

  test("are given up after 5 minutes", () => {
    const clock = new FakeClock();
    const expectations = new Expectations(clock);
    expectations.expectCreations("vm", 1);
    clock.advance(300_000);
    assert.equal(expectations.isSatisfied("vm"), false);
    clock.advance(1);
    assert.equal(expectations.isSatisfied("vm"), true);
  });
});

test("own writes hold a key until every cache that was written to has come as far", async () => {
  const reader = (name: string, resourceVersion: string) => ({
    name,
    resourceVersion,
    restores: 0,
    waitForVersion: async (version: string) => {
      reader.waited.push(`${name} ${version}`);
    },
  });
  reader.waited = [] as string[];
  const pods = reader("pods", "99");
  const vmis = reader("vmis", "120");
  const writes = new OwnWrites();
  writes.wrote("vm", pods, { metadata: { resourceVersion: "100" } });
  writes.wrote("vm", pods, { metadata: { resourceVersion: "98" } });
  writes.wrote("vm", vmis, { metadata: { resourceVersion: "110" } });
  assert.deepEqual([writes.isSeen("vm"), writes.isSeen("other")], [false, true]);
  await writes.waitUntilSeen("vm");
  assert.ok(reader.waited.includes("pods 100"));
  pods.resourceVersion = "100";
  assert.equal(writes.isSeen("vm"), true);
});

test("own writes from before a server's restore hold no key, those after it do", async () => {
  const pods = {
    name: "pods",
    resourceVersion: "99",
    restores: 0,
    waitForVersion: (version: string) => Promise.reject(new Error(`waited for ${version}`)),
  };
  const writes = new OwnWrites();
  writes.wrote("vm", pods, { metadata: { resourceVersion: "100" } });
  writes.wrote("other", pods, { metadata: { resourceVersion: "100" } });
  pods.resourceVersion = "50";
  pods.restores = 1;
  await writes.waitUntilSeen("vm");
  writes.wrote("other", pods, { metadata: { resourceVersion: "51" } });
  assert.deepEqual([writes.isSeen("vm"), writes.isSeen("other")], [true, false]);
  await assert.rejects(writes.waitUntilSeen("other"), /waited for 51/);
});

describe("a slow start", () => {
  test("doubles its batches and stops after the first with a failure", async () => {
    let running = 0;
    let most = 0;
    const batches: number[] = [];
    const outcome = await slowStartBatch(20, async (index) => {
      running += 1;
      if (running === 1) {
        batches.push(index);
      }
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
      if (index === 5) {
        throw new Error("quota");
      }
    });
    assert.deepEqual(batches, [0, 1, 3]);
    assert.deepEqual([outcome.succeeded, outcome.skipped, outcome.errors.length, most], [6, 13, 1, 4]);
  });

  test("runs each index once when nothing fails", async () => {
    const seen: number[] = [];
    const outcome = await slowStartBatch(11, async (index) => void seen.push(index), 3);
    assert.deepEqual([outcome.succeeded, seen], [11, Array.from({ length: 11 }, (_, index) => index)]);
  });
});

describe("ownership", () => {
  const start = async () => {
    const server = new FakeApiServer({ resources: [CONFIG_MAPS] });
    const client = fakeClient(server);
    const configMaps = client.resource(CONFIG_MAPS).namespace("default");
    const owner = await configMaps.create({ metadata: { name: "owner" } });
    const object = await configMaps.create({ metadata: { name: "object" } });
    return { client, configMaps, owner, object };
  };

  test("adopts an orphan, releases it again, and leaves others' references alone", async () => {
    const { client, owner, object } = await start();
    assert.equal(claim(owner, object, true), "adopt");
    const adopted = await adopt(client, CONFIG_MAPS, object, owner);
    assert.ok(isControlledBy(adopted, owner));
    assert.deepEqual([claim(owner, adopted, true), claim(owner, adopted, false)], ["keep", "release"]);
    const plain = { ...controllerReference(owner), controller: false };
    const referring = { ...object, metadata: { ...adopted.metadata, ownerReferences: [plain] } };
    assert.equal(claim(owner, referring, true), "adopt");
    const readopted = await adopt(client, CONFIG_MAPS, referring, owner);
    assert.deepEqual(readopted.metadata.ownerReferences, [controllerReference(owner)]);
    const released = await release(client, CONFIG_MAPS, adopted, owner);
    assert.equal(released.metadata.ownerReferences, undefined);
  });

  test("does not adopt what changed since it was read, nor for an owner that was made anew", async () => {
    const { client, configMaps, owner, object } = await start();
    await configMaps.update({ ...object, data: { n: "1" } });
    await assert.rejects(adopt(client, CONFIG_MAPS, object, owner), ConflictError);
    assert.equal(await mayAdopt(client, CONFIG_MAPS, owner), true);
    await configMaps.delete("owner");
    assert.equal(await mayAdopt(client, CONFIG_MAPS, owner), false);
    await configMaps.create({ metadata: { name: "owner" } });
    assert.equal(await mayAdopt(client, CONFIG_MAPS, owner), false);
  });

  test("claims nothing of another controller, and nothing for an owner or of an object that is going", async () => {
    const { owner, object } = await start();
    const going = (of: ConfigMap): ConfigMap => ({
      ...of,
      metadata: { ...of.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
    });
    const namesake = { ...owner, metadata: { ...owner.metadata, uid: "another" } };
    const owned: ConfigMap = {
      ...object,
      metadata: { ...object.metadata, ownerReferences: [controllerReference(namesake)] },
    };
    assert.equal(claim(owner, owned, true), "ignore");
    assert.equal(claim(going(owner), object, true), "ignore");
    assert.equal(claim(owner, going(object), true), "ignore");
    assert.throws(
      () => controllerReference({ metadata: { name: "a" } }),
      /apiVersion, kind, name or uid is missing/,
    );
  });
});

describe("the watchdog", () => {
  const socket = () => {
    const closers: (() => void)[] = [];
    return {
      bytesRead: 0,
      isDestroyed: false,
      once: (_: string, closer: () => void) => void closers.push(closer),
      destroy() {
        this.isDestroyed = true;
        for (const closer of closers) {
          closer();
        }
      },
    };
  };

  test("destroys a pinged connection on which nothing came for 45 s, and no other", () => {
    const clock = new FakeClock();
    const watchdog = new ConnectionWatchdog({ clock });
    const [dead, alive, unpinged] = [socket(), socket(), socket()];
    watchdog.add(dead as never, true);
    watchdog.add(alive as never, true);
    watchdog.add(unpinged as never, false);
    for (let second = 0; second < 60; second += 5) {
      alive.bytesRead += 17;
      clock.advance(5000);
      assert.ok(!dead.isDestroyed || clock.monotonic() >= 45_000, `after ${clock.monotonic()} ms`);
    }
    assert.deepEqual(
      [dead.isDestroyed, alive.isDestroyed, unpinged.isDestroyed, watchdog.size],
      [true, false, false, 2],
    );
    alive.destroy();
    unpinged.destroy();
    assert.equal(clock.pending, 0);
  });

  test("doesn't take for silence that its own process stood still", () => {
    const clock = new FakeClock();
    let stoodStillMs = 0;
    const watchdog = new ConnectionWatchdog({
      clock: {
        now: () => clock.now(),
        monotonic: () => clock.monotonic() + stoodStillMs,
        setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      },
    });
    const sound = socket();
    watchdog.add(sound as never, true);
    for (let check = 0; check < 12; check += 1) {
      // Each check is a minute late, and what came meanwhile is read after it.
      stoodStillMs += 60_000;
      clock.advance(5000);
      sound.bytesRead += 17;
    }
    assert.equal(sound.isDestroyed, false);
    clock.advance(50_000);
    assert.equal(sound.isDestroyed, true);
    assert.equal(clock.pending, 0);
  });
});

test("an LRU map holds its limit and keeps what was used last", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 9 })), (keys) => {
      const map = new LruMap<number, number>(4);
      const recent: number[] = [];
      for (const key of keys) {
        if (map.get(key) === undefined) {
          map.set(key, key);
        }
        recent.splice(0, recent.length, key, ...recent.filter((other) => other !== key).slice(0, 3));
        assert.equal(map.size, recent.length);
      }
      for (const key of recent.toReversed()) {
        assert.equal(map.get(key), key);
      }
    }),
  );
});
