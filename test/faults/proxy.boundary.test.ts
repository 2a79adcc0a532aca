/** What the proxy does to connections, on the wire, over HTTP/2 and HTTP/1.1. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { PODS } from "../../kube/resources.ts";
import {
  armed,
  ask,
  assertFired,
  connect,
  connectSession,
  makePod,
  PODS_PATH,
  podNamed,
  proxy,
  server,
  TIMEOUT,
  until,
  useRig,
  Watch,
} from "./rig.fixture.ts";
import { droppedWatches, halfOpen, lostReplies, resetMidLine, truncatedLines } from "./streams.ts";

useRig();

for (const http2 of [true, false]) {
  describe(http2 ? "over HTTP/2" : "over HTTP/1.1", () => {
    it("without a fault everything passes unchanged, and writes are recorded", TIMEOUT, async () => {
      const client = connect({ http2 });
      const watch = await Watch.open(client);
      const created = await ask(client, "POST", PODS_PATH, podNamed("a"));
      assert.equal(created.status, 201);
      await watch.until(() => watch.names.includes("ADDED a"));
      assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 409);
      assert.equal((await ask(client, "GET", `${PODS_PATH}/a`)).json().metadata["name"], "a");
      assert.deepEqual(
        proxy.journal.writes.map(({ exchange, status }) => [exchange.verb, exchange.name, status]),
        [
          ["create", "a", 201],
          ["create", "a", 409],
        ],
      );
      assert.equal(client.isHttp2, http2);
      watch.close();
    });

    it("a dropped watch ends in order, in place of its third event", TIMEOUT, async () => {
      const fault = await armed(droppedWatches());
      const watch = await Watch.open(connect({ http2 }));
      for (const name of ["a", "b", "c"]) await makePod(name);
      assert.equal(await watch.ended, "end");
      assert.deepEqual(watch.names, ["ADDED a", "ADDED b"]);
      assertFired(fault, 1);
    });

    it("a half-open connection carries nothing more, and is not closed", TIMEOUT, async () => {
      const client = connect({ http2 });
      const watch = await Watch.open(client);
      await makePod("a");
      await watch.until(() => watch.names.length === 1);
      const fault = await armed(halfOpen("pods"));
      await makePod("b");
      await until(() => proxy.fired(fault) === 1);
      await makePod("c");
      if (http2) {
        // Requests on the same connection hang as well.
        const signal = AbortSignal.timeout(300);
        await assert.rejects(client.send({ method: "GET", path: PODS_PATH, headers: {}, signal }));
      }
      assert.deepEqual(watch.names, ["ADDED a"]);
      assert.equal(await Promise.race([watch.ended, Promise.resolve("open")]), "open");
      assert.ok(proxy.connections > 0);
      watch.close();
    });

    it("a reset comes in the middle of a line", TIMEOUT, async () => {
      const fault = await armed(resetMidLine(1));
      const watch = await Watch.open(connect({ http2 }));
      await makePod("a");
      assert.ok((await watch.ended) instanceof Error);
      assert.match(watch.text, /^\{"type":"ADDED"/);
      assert.ok(!watch.text.includes("\n"));
      assertFired(fault, 1);
    });

    it("a truncated line ends the stream in order", TIMEOUT, async () => {
      const fault = await armed(truncatedLines(1));
      const watch = await Watch.open(connect({ http2 }));
      await makePod("a");
      assert.equal(await watch.ended, "end");
      assert.match(watch.text, /^\{"type":"ADDED"/);
      assert.ok(!watch.text.includes("\n"));
      assertFired(fault, 1);
    });

    it("a lost reply leaves the write done", TIMEOUT, async () => {
      const fault = await armed(lostReplies());
      const client = connect({ http2 });
      await assert.rejects(ask(client, "POST", PODS_PATH, podNamed("a")));
      assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 409);
      assert.equal((await ask(client, "POST", PODS_PATH, podNamed("b"))).status, 201);
      await assert.rejects(ask(client, "POST", PODS_PATH, podNamed("c")));
      assert.deepEqual(
        server.list(PODS).map(({ metadata }) => metadata.name),
        ["a", "b", "c"],
      );
      assertFired(fault, 2);
    });
  });
}

describe("the proxy itself", () => {
  it("shows every object anew in a resync, with a version that it takes back", TIMEOUT, async () => {
    const client = connect();
    const version = await makePod("a");
    const watch = await Watch.open(client, "watch=true&resourceVersion=0");
    await watch.until(() => watch.names.length === 1);
    assert.equal(await proxy.resync(), 1);
    await watch.until(() => watch.names.length === 2);
    const shown = watch.events[1]?.object;
    assert.equal(shown?.metadata.resourceVersion, String(1_000_000_000_000n + BigInt(version)));
    const updated = await ask(client, "PUT", `${PODS_PATH}/a`, { ...shown });
    assert.equal(updated.status, 200);
    assert.ok(Number(updated.json().metadata["resourceVersion"]) > 1_000_000_000_000);
    watch.close();
  });

  it("doesn't wait in a resync for a client that was killed before it had read all", TIMEOUT, async () => {
    const client = connect();
    const large = { ...podNamed("a"), metadata: { name: "a", annotations: { large: "x".repeat(100_000) } } };
    assert.equal((await ask(client, "POST", PODS_PATH, large)).status, 201);
    const session = connectSession({ initialWindowSize: 0 });
    session.on("error", () => {});
    const watch = session.request({ ":path": `${PODS_PATH}?watch=true&resourceVersion=0` });
    watch.on("error", () => {});
    await once(watch, "response");
    let isOver = false;
    const resync = proxy.resync().finally(() => {
      isOver = true;
    });
    await ask(client, "GET", `${PODS_PATH}/a`);
    assert.ok(!isOver, "it waits for the client");
    // As an operator is that is killed when it was told to go: the proxy's session waits for its streams.
    proxy.drainConnections();
    await once(session, "goaway");
    session.socket.destroy();
    await resync;
  });

  it("after a restore shows higher versions and refuses earlier places", TIMEOUT, async () => {
    const client = connect();
    const version = await makePod("a");
    const watch = await Watch.open(client);
    await proxy.restoreFromBackup();
    assert.equal(await watch.ended, "end");
    assert.equal(watch.events.at(-1)?.object["code"], 410);
    const list = (await ask(client, "GET", PODS_PATH)).json();
    assert.ok(Number(list.metadata["resourceVersion"]) > 1_000_000_000_000);
    const early = await ask(client, "GET", `${PODS_PATH}?watch=true&resourceVersion=${version}`);
    assert.equal(early.status, 410);
    const place = list.metadata["resourceVersion"];
    const late = await Watch.open(client, `watch=true&resourceVersion=${place}`);
    await makePod("b");
    await late.until(() => late.names.includes("ADDED b"));
    late.close();
  });

  it("resets every connection", TIMEOUT, async () => {
    const watch = await Watch.open(connect());
    proxy.resetConnections();
    assert.ok((await watch.ended) instanceof Error);
  });
});
