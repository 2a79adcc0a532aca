/** Each fault does what its name says, on the wire, over HTTP/2 and HTTP/1.1; a fault that never struck fails. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { anonymous } from "../../kube/config.ts";
import { FakeApiServer } from "../../kube/fake/server.ts";
import { listen } from "../../kube/fake/transport.ts";
import { CONFIG_MAPS, PODS } from "../../kube/resources.ts";
import { UndiciTransport } from "../../kube/undici-transport.ts";
import {
  conflicts,
  crdsGone,
  forbidden,
  goneOnContinue,
  goneOnWatch,
  htmlPages,
  serverErrors,
  throttled,
  unauthorizedOnce,
  unavailable,
} from "./answers.ts";
import { PROXY_NAME, proxyCertificate } from "./certificate.ts";
import type { Fault, WatchEvent } from "./fault.ts";
import { FaultProxy } from "./proxy.ts";
import {
  bigObjects,
  bookmarksOnly,
  droppedWatches,
  duplicates,
  halfOpen,
  lostReplies,
  reordered,
  resetMidLine,
  slowBytes,
  storm,
  truncatedLines,
} from "./streams.ts";

const PODS_PATH = "/api/v1/namespaces/default/pods";
const TIMEOUT = { timeout: 15_000 };

let server: FakeApiServer;
let closeServer: () => Promise<void>;
let proxy: FaultProxy;
let transports: UndiciTransport[];
const { ca, certificate } = await proxyCertificate();

beforeEach(async () => {
  server = new FakeApiServer({ resources: [PODS, CONFIG_MAPS] });
  const upstream = await listen(server);
  closeServer = upstream.close;
  proxy = await FaultProxy.start({ host: "127.0.0.1", server: upstream.url, ca: "", certificate });
  transports = [];
});

afterEach(async () => {
  await Promise.all(transports.map((transport) => transport.close()));
  await proxy.close();
  await closeServer();
});

function connect(options: { http2?: boolean } = {}): UndiciTransport {
  const tls = { ca, servername: PROXY_NAME };
  const transport = new UndiciTransport(
    { server: proxy.url, tls, credentials: anonymous, namespace: "default" },
    options,
  );
  transports.push(transport);
  return transport;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

async function ask(transport: UndiciTransport, method: Method, path: string, body?: object) {
  const response = await transport.send({
    method,
    path,
    headers: { accept: "application/json", "content-type": "application/json" },
    signal: AbortSignal.timeout(10_000),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const json = () => JSON.parse(text) as { metadata: Record<string, string>; items: unknown[] };
  return { status: response.statusCode, headers: response.headers, text, json };
}

/** A watch as bytes: how it ends is part of what is tested. */
class Watch {
  text = "";
  readonly status: number;
  /** "end" for an orderly end, else the failure. */
  readonly ended: Promise<"end" | Error>;
  readonly #abort: AbortController;
  #wake: () => void = () => {};

  private constructor(status: number, body: AsyncIterable<Uint8Array>, abort: AbortController) {
    this.status = status;
    this.#abort = abort;
    const read = async () => {
      for await (const chunk of body) {
        this.text += Buffer.from(chunk).toString();
        this.#wake();
      }
    };
    this.ended = read().then(
      () => "end" as const,
      (error: unknown) => error as Error,
    );
    void this.ended.then(() => this.#wake());
  }

  static async open(transport: UndiciTransport, query = "watch=true", path = PODS_PATH): Promise<Watch> {
    const abort = new AbortController();
    const response = await transport.send({
      method: "GET",
      path: `${path}?${query}`,
      headers: {},
      signal: abort.signal,
    });
    return new Watch(response.statusCode, response.body, abort);
  }

  get events(): WatchEvent[] {
    return this.text
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as WatchEvent);
  }

  get names(): string[] {
    return this.events.map(({ type, object }) => `${type} ${object.metadata.name ?? ""}`);
  }

  async until(what: () => boolean): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!what()) {
      assert.ok(Date.now() < deadline, `never came: ${what}; got ${this.text.slice(0, 500)}`);
      const wait = setTimeout(() => this.#wake(), 500);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      clearTimeout(wait);
    }
  }

  close(): void {
    this.#abort.abort(new Error("the test is over"));
  }
}

const podNamed = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { containers: [] },
});

/** Straight at the server, past the proxy. */
async function makePod(name: string): Promise<string> {
  const { body } = (await server.handle({
    method: "POST",
    path: PODS_PATH,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(podNamed(name)),
  })) as { body: { metadata: { resourceVersion: string } } };
  return body.metadata.resourceVersion;
}

async function armed(fault: Fault): Promise<Fault> {
  await proxy.arm(fault);
  return fault;
}

function assertFired(fault: Fault, times: number): void {
  assert.equal(proxy.fired(fault), times, `${fault.name} struck ${proxy.fired(fault)} times`);
}

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

describe("answers in the API server's place", () => {
  it("HTML with 200 for reads and writes, which it swallows", TIMEOUT, async () => {
    const fault = await armed(htmlPages(1, 1));
    const client = connect();
    const page = await ask(client, "GET", PODS_PATH);
    assert.deepEqual([page.status, page.headers["content-type"]], [200, "text/html"]);
    assert.match(page.text, /^<!DOCTYPE html>/);
    assert.match((await ask(client, "POST", PODS_PATH, podNamed("a"))).text, /^<!DOCTYPE html>/);
    assert.equal((await ask(client, "GET", PODS_PATH)).json().items.length, 0);
    assert.equal(proxy.journal.writes.length, 0);
    assertFired(fault, 2);
  });

  it("410 to every other watch that resumes, and in place of every fifth event", TIMEOUT, async () => {
    const client = connect();
    const place = await makePod("a");
    const fault = await armed(goneOnWatch(1));
    const resume = `${PODS_PATH}?watch=true&resourceVersion=${place}`;
    assert.equal((await ask(client, "GET", resume)).status, 410);
    const watch = await Watch.open(client, `watch=true&resourceVersion=${place}`);
    for (const name of ["b", "c", "d", "e", "f"]) await makePod(name);
    assert.equal(await watch.ended, "end");
    assert.equal(watch.events.length, 5);
    const error = watch.events[4];
    assert.deepEqual(
      [error?.type, error?.object["code"], error?.object["reason"]],
      ["ERROR", 410, "Expired"],
    );
    assert.equal((await ask(client, "GET", resume)).status, 410);
    assertFired(fault, 3);
  });

  it("410 to a continue token, from a server without streaming lists", TIMEOUT, async () => {
    for (const name of ["a", "b"]) await makePod(name);
    const fault = await armed(goneOnContinue(1));
    const client = connect();
    const streaming = await ask(client, "GET", `${PODS_PATH}?watch=true&sendInitialEvents=true`);
    assert.equal(streaming.status, 422);
    const page = (await ask(client, "GET", `${PODS_PATH}?limit=500`)).json();
    assert.equal(page.items.length, 1);
    const next = `${PODS_PATH}?limit=500&continue=${encodeURIComponent(page.metadata["continue"] ?? "")}`;
    assert.equal((await ask(client, "GET", next)).status, 410);
    assert.equal((await ask(client, "GET", PODS_PATH)).json().items.length, 2);
    assertFired(fault, 3);
  });

  it("429 with Retry-After, and who comes back too early is noted", TIMEOUT, async () => {
    const fault = throttled(2, 1);
    await proxy.arm(fault);
    const client = connect();
    const refused = await ask(client, "GET", PODS_PATH);
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
    assert.equal((await ask(client, "GET", `${PODS_PATH}/a`)).status, 429);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assert.deepEqual(fault.early, ["list pods default"]);
    assertFired(fault, 2);
  });

  it("500 ten times", TIMEOUT, async () => {
    const fault = await armed(serverErrors(10));
    const client = connect();
    for (let i = 0; i < 10; i++) assert.equal((await ask(client, "GET", PODS_PATH)).status, 500);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assertFired(fault, 10);
  });

  it("503, 403 and 404 for as long as they were told", TIMEOUT, async () => {
    const client = connect();
    for (const [fault, path, code] of [
      [unavailable(200), PODS_PATH, 503],
      [forbidden(200), PODS_PATH, 403],
      [crdsGone(200), "/apis/kubevirt.io/v1/virtualmachines", 404],
    ] as const) {
      await proxy.arm(fault);
      const since = Date.now();
      assert.equal((await ask(client, "GET", path)).status, code);
      await until(
        async () => (await ask(client, "GET", PODS_PATH)).status === 200 && Date.now() - since >= 200,
      );
      assert.ok((await proxy.lift(fault)) >= 1);
    }
  });

  it("401 once to each kind of request", TIMEOUT, async () => {
    const fault = await armed(unauthorizedOnce());
    const client = connect();
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 401);
    assert.equal((await ask(client, "GET", PODS_PATH)).status, 200);
    assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 401);
    assert.equal((await ask(client, "POST", PODS_PATH, podNamed("a"))).status, 201);
    assertFired(fault, 2);
  });

  it("409 to every second update", TIMEOUT, async () => {
    const fault = await armed(conflicts());
    const client = connect();
    await makePod("a");
    const patch = { metadata: { labels: { x: "y" } } };
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const response = await client.send({
        method: "PATCH",
        path: `${PODS_PATH}/a`,
        headers: { "content-type": "application/merge-patch+json" },
        body: JSON.stringify(patch),
        signal: AbortSignal.timeout(5_000),
      });
      for await (const _ of response.body);
      statuses.push(response.statusCode);
    }
    assert.deepEqual(statuses, [409, 200, 409, 200]);
    assertFired(fault, 2);
  });
});

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

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
