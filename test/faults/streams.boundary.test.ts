/** Each fault inside a watch does what its name says, on the wire; one that never struck fails. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { armed, assertFired, connect, makePod, proxy, TIMEOUT, useRig, Watch } from "./rig.fixture.ts";
import { bigObjects, bookmarksOnly, duplicates, reordered, slowBytes, storm } from "./streams.ts";

useRig();

describe("inside a watch", () => {
  it("every event comes twice", TIMEOUT, async () => {
    const fault = await armed(duplicates());
    const watch = await Watch.open(connect());
    await makePod("a");
    await watch.until(() => watch.names.length === 2);
    assert.deepEqual(watch.names, ["ADDED a", "ADDED a"]);
    assertFired(fault, 1);
    watch.close();
  });

  it("events of other keys overtake, and one that nobody overtook does not count", TIMEOUT, async () => {
    const fault = await armed(reordered(300));
    const watch = await Watch.open(connect());
    for (const name of ["a", "b"]) await makePod(name);
    await watch.until(() => watch.names.length === 2);
    assert.deepEqual(watch.names, ["ADDED b", "ADDED a"]);
    assertFired(fault, 1);
    await makePod("c");
    await watch.until(() => watch.names.length === 3);
    assertFired(fault, 1);
    watch.close();
  });

  it("a storm of 5,000 events comes within a second and leaves nobody behind", TIMEOUT, async () => {
    const fault = await armed(storm(5_000, 1));
    const watch = await Watch.open(connect());
    const since = performance.now();
    await makePod("a");
    await watch.until(() => watch.text.split("\n").length > 5_001);
    assert.ok(performance.now() - since < 5_000);
    const present = new Set<string>();
    for (const { type, object } of watch.events) {
      if (type === "ADDED") present.add(object.metadata.name ?? "");
      else present.delete(object.metadata.name ?? "");
    }
    assert.deepEqual([...present], ["a"]);
    assertFired(fault, 1);
    watch.close();
  });

  it("an object has 1.4 MB", TIMEOUT, async () => {
    const fault = await armed(bigObjects(1_400_000));
    const watch = await Watch.open(connect());
    await makePod("a");
    await watch.until(() => watch.text.endsWith("\n"));
    assert.ok(watch.text.length > 1_400_000);
    assert.deepEqual(watch.names, ["ADDED a"]);
    assertFired(fault, 1);
    watch.close();
  });

  it(
    "only bookmarks come, of the place before; what was kept back comes after it is over",
    TIMEOUT,
    async () => {
      const client = connect();
      const first = await makePod("a");
      const fault = await armed(bookmarksOnly());
      const watch = await Watch.open(client, `watch=true&resourceVersion=${first}&allowWatchBookmarks=true`);
      await makePod("b");
      await watch.until(() => watch.events.length === 3);
      for (const { type, object } of watch.events) {
        assert.deepEqual([type, object.metadata.resourceVersion], ["BOOKMARK", first]);
      }
      assert.equal(await proxy.lift(fault), 1);
      assert.equal(await watch.ended, "end");
      const resumed = await Watch.open(client, `watch=true&resourceVersion=${first}`);
      await resumed.until(() => resumed.names.includes("ADDED b"));
      resumed.close();
    },
  );

  it("bytes come one per second until it is over", TIMEOUT, async () => {
    const fault = await armed(slowBytes("pods"));
    const watch = await Watch.open(connect());
    await makePod("a");
    const since = performance.now();
    await watch.until(() => watch.text.length === 3);
    assert.ok(performance.now() - since > 1_500);
    await proxy.lift(fault);
    await watch.until(() => watch.names.includes("ADDED a"));
    watch.close();
  });
});
