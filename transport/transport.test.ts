import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { endReason, Http2Client } from "./client.ts";
import { RequestError, TransportError } from "./errors.ts";
import { readLines } from "./lines.ts";
import { relay } from "./relay.ts";
import { type Routes, type ServedConnection, serveHttp2 } from "./server.ts";

const folder = mkdtempSync(join(tmpdir(), "transport-"));
after(() => rmSync(folder, { recursive: true }));
let sockets = 0;

/** A dialler that serves `routes` and the accepted end that asks it, over a real unix socket. */
async function pair(
  t: TestContext,
  routes: Routes,
): Promise<{ client: Http2Client; served: ServedConnection; dialled: Socket }> {
  const path = join(folder, `${sockets++}.sock`);
  const listener = createServer().listen(path);
  await once(listener, "listening");
  const dialled = connect(path);
  const [accepted] = (await once(listener, "connection")) as [Socket];
  const served = serveHttp2(dialled, routes);
  const client = new Http2Client(accepted);
  t.after(() => {
    client.destroy();
    served.destroy();
    listener.close();
  });
  return { client, served, dialled };
}

describe("requests over a dialled socket", () => {
  it("answer a path that is no percent-encoded text with 400", async (t) => {
    const { client } = await pair(t, { "GET /v1/things/{id}": (request) => request.reply(204) });
    await assert.rejects(client.request("GET", "/v1/things/%zz"), { status: 400, code: "MalformedPath" });
  });

  it("end with the session when the peer vanished, even while the session is closing", async (t) => {
    const path = join(folder, `${sockets++}.sock`);
    const listener = createServer({ pauseOnConnect: true }).listen(path);
    await once(listener, "listening");
    const socket = connect(path);
    const [silent] = (await once(listener, "connection")) as [Socket];
    t.after(() => {
      silent.destroy();
      listener.close();
    });
    const client = new Http2Client(socket, { keepAlive: { intervalMs: 5, deadlineMs: 5 } });
    const asked = assert.rejects(client.request("GET", "/v1/never"), { code: "ConnectionClosed" });
    client.close();
    await client.ended;
    await asked;
  });

  it("outlive a process that stood still for longer than a ping may take", async (t) => {
    const path = join(folder, `${sockets++}.sock`);
    // In a thread of its own, or it would stand still as well.
    const peer = new Worker(
      `const server = require("node:http2").createServer();
      server.on("stream", (stream) => stream.respond({ ":status": 204 }, { endStream: true }));
      server.listen(${JSON.stringify(path)}, () => require("node:worker_threads").parentPort.postMessage("up"));`,
      { eval: true },
    );
    t.after(() => peer.terminate());
    await once(peer, "message");
    const socket = connect(path);
    await once(socket, "connect");
    const client = new Http2Client(socket, { keepAlive: { intervalMs: 100, deadlineMs: 1000 } });
    t.after(() => client.destroy());
    // In the turn of the first ping, whose answer is there long before it is read.
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
        resolve();
      }, 100);
    });
    await client.request("GET", "/v1/afterwards");
  });

  it("carry a JSON body and path parameters to the dialler and its answer back", async (t) => {
    const { client } = await pair(t, {
      "PUT /v1/things/{id}": async (request) => {
        request.reply(200, { id: request.params["id"], got: await request.json() });
      },
    });
    const answer = await client.request("PUT", "/v1/things/a%20b", { body: { n: 1 } });
    assert.deepEqual(answer, { id: "a b", got: { n: 1 } });
  });

  it("find room for far more than the protocol's 64 KiB in either direction", async (t) => {
    const windows: (number | undefined)[] = [];
    const { client } = await pair(t, {
      "POST /v1/stream": (request) => {
        windows.push(request.stream.session?.state.remoteWindowSize);
        request.accept().end();
      },
    });
    await client.request("POST", "/v1/stream");
    const stream = await client.open("/v1/stream");
    windows.push(stream.session?.state.remoteWindowSize);
    stream.destroy();
    assert.deepEqual(windows.slice(1), [1024 * 1024, 1024 * 1024]);
  });

  it("answer a refusal with its status, code and sentence", async (t) => {
    const { client } = await pair(t, {
      "POST /v1/pause": () => {
        throw new RequestError(409, "NotRunning", "the domain is not running");
      },
    });
    await assert.rejects(client.request("POST", "/v1/pause"), (error) => {
      assert(error instanceof RequestError);
      assert.deepEqual(
        [error.status, error.code, error.message],
        [409, "NotRunning", "the domain is not running"],
      );
      return true;
    });
  });

  it("answer an unknown route with 404 and malformed JSON with 400", async (t) => {
    const { client } = await pair(t, {
      "PUT /v1/x": async (request) => {
        await request.json();
        request.reply(204);
      },
    });
    await assert.rejects(client.request("GET", "/v1/nowhere"), { status: 404, code: "UnknownRoute" });
    await assert.rejects(client.request("PUT", "/v1/x"), { status: 400, code: "MalformedJson" });
  });

  it("end with DeadlineExceeded when the dialler never answers", async (t) => {
    const { client } = await pair(t, { "GET /v1/never": () => new Promise(() => {}) });
    await assert.rejects(client.request("GET", "/v1/never", { deadlineMs: 20 }), {
      code: "DeadlineExceeded",
    });
  });

  it("end with ConnectionClosed when the connection dies under them", async (t) => {
    const { client, dialled } = await pair(t, { "GET /v1/die": () => void dialled.destroy() });
    await assert.rejects(client.request("GET", "/v1/die"), (error) => {
      assert(error instanceof TransportError);
      assert.equal(error.code, "ConnectionClosed");
      return true;
    });
    await client.ended;
    assert.equal(client.isOpen, false);
  });
});

describe("streams of lines", () => {
  it("reach the reader value by value and end when the reader leaves", async (t) => {
    let returned = false;
    const { client } = await pair(t, {
      "GET /v1/status": (request) =>
        request.replyLines(
          (async function* () {
            try {
              for (let n = 0; ; n++) yield { n };
            } finally {
              returned = true;
            }
          })(),
        ),
    });
    const seen: unknown[] = [];
    for await (const value of client.lines("/v1/status")) {
      seen.push(value);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [{ n: 0 }, { n: 1 }, { n: 2 }]);
    while (!returned) await new Promise((resolve) => setImmediate(resolve));
  });

  it("are refused when a line exceeds its bound", async () => {
    async function* chunks(): AsyncGenerator<Buffer> {
      yield Buffer.from(`{"a":1}\n"${"x".repeat(50)}`);
    }
    const values: unknown[] = [];
    await assert.rejects(
      async () => {
        for await (const value of readLines(chunks(), 20)) values.push(value);
      },
      { code: "LineTooLong" },
    );
    assert.deepEqual(values, [{ a: 1 }]);
  });

  it("join characters that were cut between chunks", async () => {
    const bytes = Buffer.from('"ä"\n');
    async function* chunks(): AsyncGenerator<Buffer> {
      for (const byte of bytes) yield Buffer.from([byte]);
    }
    for await (const value of readLines(chunks())) assert.equal(value, "ä");
  });
});

describe("full-duplex streams", () => {
  it("carry bytes both ways through a relay and end together", async (t) => {
    const inner = await pair(t, {
      "POST /v1/console": (request) => {
        const stream = request.accept();
        stream.pipe(stream);
      },
    });
    const outer = await pair(t, {
      "POST /v1/relay": async (request) => {
        const target = await inner.client.open("/v1/console");
        await relay(request.accept(), target);
      },
    });
    const stream = await outer.client.open("/v1/relay");
    const megabyte = Buffer.alloc(1024 * 1024, "abcdefgh");
    stream.end(megabyte);
    const echoed: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) echoed.push(chunk);
    assert(Buffer.concat(echoed).equals(megabyte));
  });
});

describe("a stream of bytes that its accepting end ends", () => {
  it("says why once all has been read, also across a relay", async (t) => {
    const first = await pair(t, {
      "POST /v1/console": (request) =>
        void request
          .accept(() => "displaced")
          .resume()
          .end("last words"),
    });
    const second = await pair(t, {
      "POST /v1/relayed": async (request) => {
        const upstream = await first.client.open("/v1/console");
        await relay(
          request.accept(() => endReason(upstream)),
          upstream,
        );
      },
    });
    const stream = await second.client.open("/v1/relayed");
    const said: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => said.push(chunk));
    await once(stream, "end");
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(Buffer.concat(said).toString(), "last words");
    assert.equal(endReason(stream), "displaced");
  });

  it("says no more than that where there is no reason", async (t) => {
    const { client } = await pair(t, {
      "POST /v1/console": (request) => void request.accept().resume().end(),
    });
    const stream = await client.open("/v1/console");
    stream.resume();
    stream.end();
    await once(stream, "close");
    assert.equal(endReason(stream), "ended");
  });

  it("is known from one that broke off, which looks like an end, too", async (t) => {
    const { client, dialled } = await pair(t, { "POST /v1/console": (request) => void request.accept() });
    const stream = await client.open("/v1/console");
    stream.resume();
    dialled.destroy();
    await once(stream, "close");
    assert.equal(endReason(stream), undefined);
  });
});
