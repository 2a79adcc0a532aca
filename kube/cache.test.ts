import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cache, type Delta } from "./cache.ts";
import { compareResourceVersions, keyOf } from "./objects.ts";
import type { ConfigMap } from "./resources.ts";
import { Store } from "./store.ts";

const object = (
  name: string,
  version: number,
  uid = `${name}-uid`,
  data: Record<string, string> = {},
): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name,
    namespace: "default",
    uid,
    resourceVersion: String(version),
    creationTimestamp: "2026-01-01T00:00:00Z",
  },
  data,
});

const summary = (deltas: readonly Delta<ConfigMap>[]) =>
  deltas.map((delta) => `${delta.type} ${delta.object.metadata.name}`);

test("an index finds what a scan finds, after any adds, changes and deletes", () => {
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c", "d"),
    values: fc.option(fc.uniqueArray(fc.constantFrom("x", "y", "z")), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const indexer = (stored: ConfigMap) => Object.keys(stored.data ?? {});
      const store = new Store<ConfigMap>({ data: indexer });
      steps.forEach(({ name, values }, version) => {
        if (values === undefined) {
          store.delete(`default/${name}`);
        } else {
          store.set(object(name, version, undefined, Object.fromEntries(values.map((value) => [value, ""]))));
        }
        for (const value of ["x", "y", "z"]) {
          const scanned = store.list().filter((stored) => indexer(stored).includes(value));
          assert.deepEqual(new Set(store.byIndex("data", value)), new Set(scanned));
        }
      });
    }),
  );
  assert.throws(() => new Store().byIndex("none", "x"), /no index none/);
});

test("a list replaces: new, changed and vanished objects are told, those of the same version are not", () => {
  const cache = new Cache<ConfigMap>();
  assert.deepEqual(summary(cache.replace([object("a", 1), object("b", 2)], "2")), ["added a", "added b"]);
  const deltas = cache.replace([object("b", 2), object("c", 3)], "5");
  assert.deepEqual(summary(deltas), ["added c", "deleted a"]);
  const tombstone = deltas[1];
  assert.ok(tombstone?.type === "deleted" && !tombstone.isFinalStateKnown);
  assert.equal(cache.resourceVersion, "5");
});

test("an object deleted and made anew unseen is a delete and an add, not an update", () => {
  const cache = new Cache<ConfigMap>();
  cache.replace([object("a", 1, "first")], "1");
  const deltas = cache.apply("MODIFIED", object("a", 9, "second"));
  assert.deepEqual(summary(deltas), ["deleted a", "added a"]);
  assert.ok(deltas[0]?.type === "deleted" && !deltas[0].isFinalStateKnown, "nobody saw its end");
});

test("replayed and outdated events change nothing, and the version never goes back by them", () => {
  const cache = new Cache<ConfigMap>();
  cache.replace([object("a", 5)], "10");
  assert.deepEqual(cache.apply("MODIFIED", object("a", 4)), []);
  assert.deepEqual(cache.apply("MODIFIED", object("a", 5)), []);
  assert.deepEqual(cache.apply("DELETED", object("a", 3, "earlier namesake")), []);
  assert.deepEqual(cache.apply("DELETED", object("never seen", 11)), []);
  assert.equal(cache.resourceVersion, "11");
  assert.equal(cache.lister.size, 1);
});

test("an event older than the list does not bring back what the list no longer had", () => {
  const cache = new Cache<ConfigMap>();
  cache.replace([object("a", 5)], "10");
  assert.deepEqual(cache.apply("ADDED", object("gone", 7)), []);
  assert.deepEqual(summary(cache.apply("ADDED", object("new", 11))), ["added new"]);
});

test("a list of a server restored from a backup ends what was known of deletes that have not happened there", () => {
  const cache = new Cache<ConfigMap>();
  cache.replace([object("a", 5)], "10");
  cache.apply("DELETED", object("a", 100));
  cache.replace([], "50");
  assert.deepEqual(summary(cache.apply("ADDED", object("a", 60))), ["added a"]);
});

test("managedFields are never kept, a transform cuts more, and in tests objects are frozen to the bottom", () => {
  const cache = new Cache<ConfigMap>({
    transform: ({ data: _, ...rest }) => rest,
    freeze: true,
  });
  const raw = object("a", 1, undefined, { big: "x" });
  cache.replace(
    [cache.shrink({ ...raw, metadata: { ...raw.metadata, managedFields: [{ manager: "m" }] } })],
    "1",
  );
  const kept = cache.lister.get("default/a") ?? assert.fail();
  assert.deepEqual([kept.metadata.managedFields, kept.data], [undefined, undefined]);
  assert.throws(() => {
    kept.metadata.name = "b";
  }, TypeError);
});

test("whatever is delivered twice, or late, the cache ends at what the server has, and its deltas lead there", () => {
  const change = fc.record({ name: fc.constantFrom("a", "b", "c"), isDelete: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 30, size: "max" }),
      fc.array(fc.nat({ max: 40 }), { maxLength: 30, size: "max" }),
      fc.nat({ max: 30 }),
      (changes, replays, listAt) => {
        const server = new Map<string, ConfigMap>();
        const history: { type: "ADDED" | "MODIFIED" | "DELETED"; object: ConfigMap }[] = [];
        const snapshots: ConfigMap[][] = [[]];
        changes.forEach(({ name, isDelete }, index) => {
          const known = server.get(name);
          const next = object(name, 100 + index, known?.metadata.uid ?? `${name}-${index}`);
          if (!isDelete) {
            history.push({ type: known === undefined ? "ADDED" : "MODIFIED", object: next });
            server.set(name, next);
          } else if (known !== undefined) {
            history.push({ type: "DELETED", object: next });
            server.delete(name);
          }
          snapshots.push([...server.values()]);
        });
        const cache = new Cache<ConfigMap>();
        const mirror = new Map<string, ConfigMap>();
        const follow = (deltas: readonly Delta<ConfigMap>[]) => {
          for (const delta of deltas) {
            assert.equal(
              mirror.has(keyOf(delta.object)),
              delta.type !== "added",
              "deltas follow on each other",
            );
            if (delta.type === "deleted") {
              mirror.delete(keyOf(delta.object));
            } else {
              mirror.set(keyOf(delta.object), delta.object);
            }
          }
        };
        const at = Math.min(listAt, changes.length);
        follow(cache.replace(snapshots[at] ?? [], String(99 + at)));
        const later = history.filter(
          ({ object: { metadata } }) => Number(metadata.resourceVersion) > 99 + at,
        );
        later.forEach((event, index) => {
          follow(cache.apply(event.type, event.object));
          const replay = later[(replays[index] ?? 0) % (index + 1)];
          if (replay !== undefined) {
            follow(cache.apply(replay.type, replay.object));
          }
        });
        assert.deepEqual(new Map(cache.lister.list().map((kept) => [kept.metadata.name, kept])), server);
        assert.deepEqual([...mirror.keys()].sort(), cache.lister.list().map(keyOf).sort());
      },
    ),
  );
});

test("resourceVersions are compared as integers of any length", () => {
  const version = fc.bigInt({ min: 0n, max: 2n ** 100n });
  fc.assert(
    fc.property(version, version, (a, b) => {
      assert.equal(Math.sign(compareResourceVersions(String(a), String(b))), a < b ? -1 : a > b ? 1 : 0);
    }),
  );
});
