import assert from "node:assert/strict";
import { test } from "node:test";
import { GoneError, InvalidError } from "../../errors.ts";
import { Informer } from "../../informer.ts";
import { mergePatch, type WatchEvent } from "../../request.ts";
import type { ConfigMap } from "../../resources.ts";
import { collect, DEADLINE_MS, type Session } from "./session.ts";

/** Watches, streaming lists, and the informer that lives on them. */
export function watches(session: Session): void {
  const { configMaps, make } = session;

  test("a watch tells adds, changes and deletes from a version on, with growing versions", async () => {
    const { resourceVersion } = await configMaps().list({ limit: 1 });
    const { name } = (await make("watched")).metadata;
    await configMaps().patch(name, mergePatch({ data: { n: "2" } }));
    await configMaps().delete(name);
    const events = await collect(
      (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=watched", signal }),
      (event) => event.type === "DELETED",
    );
    assert.deepEqual(
      events.map((event) => event.type),
      ["ADDED", "MODIFIED", "DELETED"],
    );
    const versions = events.map((event) =>
      event.type === "BOOKMARK" ? 0 : Number(event.object.metadata.resourceVersion),
    );
    assert.deepEqual(
      versions,
      versions.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(versions).size, 3);
  });

  test("a change of labels makes an object enter and leave a watch's selection", async () => {
    const { metadata } = await make("outside");
    const { resourceVersion, name } = metadata;
    await configMaps().patch(name, mergePatch({ metadata: { labels: { label: "inside" } } }));
    await configMaps().patch(name, mergePatch({ metadata: { labels: { label: "outside" } } }));
    const events = await collect(
      (signal) => configMaps().watch({ resourceVersion, labelSelector: "label=inside", signal }),
      (event) => event.type === "DELETED",
    );
    assert.deepEqual(
      events.map((event) => event.type),
      ["ADDED", "DELETED"],
    );
  });

  test("a streaming list gives the present objects and then the bookmark that ends them", async () => {
    const { name } = (await make("streamed")).metadata;
    const events = await collect(
      (signal) =>
        configMaps().watch({
          sendInitialEvents: true,
          resourceVersionMatch: "NotOlderThan",
          allowBookmarks: true,
          labelSelector: "label=streamed",
          signal,
        }),
      (event) => event.type === "BOOKMARK",
    );
    const [added, bookmark] = events;
    assert.ok(added?.type === "ADDED" && added.object.metadata.name === name);
    assert.ok(
      bookmark?.type === "BOOKMARK" && bookmark.initialEventsEnd && Number(bookmark.resourceVersion) > 0,
    );
  });

  test("a watch from a version too old is Gone; from none it begins with what is there; the server ends it in time", async () => {
    const old = session.forgotten().watch({ resourceVersion: "1", signal: AbortSignal.timeout(DEADLINE_MS) });
    await assert.rejects(old.next(), GoneError);
    const { name } = (await make("present")).metadata;
    const watch = { labelSelector: "label=present", timeoutSeconds: 1 };
    const events: WatchEvent<ConfigMap>[] = [];
    const signal = AbortSignal.timeout(DEADLINE_MS);
    for await (const event of configMaps().watch({ ...watch, signal })) {
      events.push(event);
    }
    assert.deepEqual(
      events.map((event) => [event.type, event.type === "BOOKMARK" ? "" : event.object.metadata.name]),
      [["ADDED", name]],
    );
  });

  test("a watch from a version that is yet to come tells nothing until then, and not that it waits", async () => {
    const { resourceVersion } = (await make("present")).metadata;
    const future = Number(resourceVersion) + 5;
    const open = Promise.withResolvers<void>();
    const watch = configMaps().watch({
      resourceVersion: String(future),
      labelSelector: "label=future",
      signal: AbortSignal.timeout(DEADLINE_MS),
      onOpen: open.resolve,
    });
    const first = watch.next();
    await Promise.race([open.promise, first]);
    let made = await make("future");
    while (Number(made.metadata.resourceVersion) <= future) {
      made = await make("future");
    }
    const { value: event } = await first;
    assert.ok(event?.type === "ADDED");
    assert.equal(event.object.metadata.name, made.metadata.name);
    await watch.return();
  });

  test("a streaming list must say which version it takes", async () => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const vague = configMaps().watch({ sendInitialEvents: true, allowBookmarks: true, signal });
    await assert.rejects(vague.next(), InvalidError);
  });

  test("an informer holds what the server holds, whichever way it lists, and sees its own writes", async () => {
    for (const streamingList of [true, false]) {
      const stop = new AbortController();
      const informer = new Informer({ resource: configMaps(), streamingList, pageSize: 3, freeze: true });
      const running = informer.run(stop.signal);
      await informer.waitForSync(AbortSignal.timeout(DEADLINE_MS));
      const made = await make("informed");
      await informer.waitForVersion(made.metadata.resourceVersion, { timeoutMs: DEADLINE_MS });
      const listed = (await configMaps().list()).items;
      assert.deepEqual(
        informer
          .list()
          .map((object) => [object.metadata.name, object.metadata.resourceVersion])
          .sort(),
        listed.map((object) => [object.metadata.name, object.metadata.resourceVersion]).sort(),
      );
      stop.abort();
      await running;
    }
  });
}
