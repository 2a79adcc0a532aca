import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import {
  constants,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { anonymous } from "./config.ts";
import { ConnectionError, TimeoutError } from "./errors.ts";
import { selfSigned } from "./testing/certificates.ts";
import type { TransportResponse } from "./transport.ts";
import { UndiciTransport } from "./undici-transport.ts";

const DEADLINE_MS = 30_000;

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** /stream sends a line and then nothing; /cut breaks off; anything else is answered at once. */
function answer(request: Http2ServerRequest, response: Http2ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json" });
  if (request.url === "/stream") {
    response.write("first\n");
  } else if (request.url === "/cut") {
    response.write("half", () => response.stream.session?.destroy());
  } else {
    response.end(request.httpVersion);
  }
}

/** A TCP path that can go dead: nothing passes any more, and nobody is told. */
async function deadlyPath(
  port: number,
): Promise<{ port: number; server: Server; die(): void; close(): void }> {
  const pairs = new Set<Socket>();
  let isDead = false;
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      pairs.add(from);
      const isOfTheDead = isDead;
      from.on("data", (data) => {
        if (!isDead || isOfTheDead) {
          to.write(data);
        }
      });
      from.on("error", () => {});
      from.on("close", () => to.destroy());
    }
  });
  const die = () => {
    isDead = true;
  };
  const close = () => {
    server.close();
    for (const socket of pairs) {
      socket.destroy();
    }
  };
  return { port: await listen(server), server, die, close };
}

async function text(response: TransportResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

describe("the transport", () => {
  let cert: string;
  let key: string;
  let http2Port: number;
  let http2: ReturnType<typeof createSecureServer>;
  before(async () => {
    ({ cert, key } = await selfSigned());
    http2 = createSecureServer({ cert, key }, answer);
    http2Port = await listen(http2);
  });
  after(() => {
    http2.close();
  });

  const open = (port: number, options: ConstructorParameters<typeof UndiciTransport>[1] = {}) =>
    new UndiciTransport(
      {
        server: `https://127.0.0.1:${port}`,
        tls: { ca: cert },
        credentials: anonymous,
        namespace: "default",
      },
      options,
    );
  const get = (transport: UndiciTransport, path: string, extra: { silenceTimeoutMs?: number } = {}) =>
    transport.send({ method: "GET", path, headers: {}, signal: AbortSignal.timeout(DEADLINE_MS), ...extra });

  test("carries 200 requests and 20 open streams at once over at most 4 connections of HTTP/2", async () => {
    const transport = open(http2Port);
    const streams = await Promise.all(Array.from({ length: 20 }, () => get(transport, "/stream")));
    const answers = await Promise.all(
      Array.from({ length: 200 }, async () => text(await get(transport, "/"))),
    );
    assert.deepEqual(new Set(answers), new Set(["2.0"]));
    assert.equal(streams.length, 20);
    assert.ok(transport.connections <= 4, `${transport.connections} connections`);
    await transport.close();
  });

  test("turns to HTTP/1.1 where the server knows nothing else, and opens a connection per stream", async () => {
    const server = createHttpsServer({ cert, key }, (_, response) => response.end("1.1"));
    const transport = open(await listen(server));
    const answers = await Promise.all(Array.from({ length: 8 }, async () => text(await get(transport, "/"))));
    assert.deepEqual([new Set(answers), transport.isHttp2], [new Set(["1.1"]), false]);
    await transport.close();
    server.close();
  });

  test("cancels a stream whose request was aborted before its bytes had left", async () => {
    const transport = open(http2Port);
    await text(await get(transport, "/"));
    const abort = new AbortController();
    const abortAtOnce = () => queueMicrotask(() => abort.abort());
    const opened = once(http2, "stream", { signal: AbortSignal.timeout(DEADLINE_MS) });
    subscribe("http2.client.stream.created", abortAtOnce);
    const request = transport.send({ method: "GET", path: "/stream", headers: {}, signal: abort.signal });
    await assert.rejects(request, { name: "AbortError" });
    unsubscribe("http2.client.stream.created", abortAtOnce);
    const [stream] = (await opened) as [ServerHttp2Stream];
    await once(stream, "close", { signal: AbortSignal.timeout(DEADLINE_MS) });
    assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
    await transport.close();
  });

  test("finds a path that died without a word by its pings, fails what was on it, and connects anew", async () => {
    const path = await deadlyPath(http2Port);
    const transport = open(path.port, { pingIntervalMs: 50, silenceLimitMs: 450 });
    const stream = (await get(transport, "/stream")).body[Symbol.asyncIterator]();
    assert.equal(Buffer.from((await stream.next()).value).toString(), "first\n");
    path.die();
    await assert.rejects(Promise.resolve(stream.next()), ConnectionError);
    assert.equal(await text(await get(transport, "/")), "2.0");
    await transport.close();
    path.close();
  });

  test("keeps a quiet connection that answers pings", async () => {
    const transport = open(http2Port, { pingIntervalMs: 50, silenceLimitMs: 300 });
    const { body } = await get(transport, "/stream", { silenceTimeoutMs: 1500 });
    const stream = body[Symbol.asyncIterator]();
    await stream.next();
    await assert.rejects(
      Promise.resolve(stream.next()),
      TimeoutError,
      "the stream's own limit ended it, much later",
    );
    assert.equal(transport.connections, 1);
    assert.equal(await text(await get(transport, "/")), "2.0");
    await transport.close();
  });

  test("tells a body that breaks off as a ConnectionError, and goes on", async () => {
    const transport = open(http2Port);
    await assert.rejects(text(await get(transport, "/cut")), ConnectionError);
    assert.equal(await text(await get(transport, "/")), "2.0");
    await transport.close();
  });

  test("survives GOAWAY, with which a server spreads its clients: what is under way ends, and what comes goes on", async () => {
    const sessions: ServerHttp2Session[] = [];
    const held: Http2ServerResponse[] = [];
    const server = createSecureServer({ cert, key }, (request, response) => {
      response.writeHead(200);
      if (request.url === "/held") {
        held.push(response);
      } else {
        response.end("at once");
      }
    });
    server.on("session", (session) => sessions.push(session));
    const transport = open(await listen(server));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const write = transport.send({ method: "POST", path: "/held", headers: {}, body: "{}", signal });
    while (held.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Graceful, as Go sends it: all streams so far will be answered.
    sessions[0]?.goaway(0, 2 ** 31 - 1);
    // The answer to a ping says that the client has read what was before it.
    await new Promise((resolve) => sessions[0]?.ping(resolve));
    const others = await Promise.all(Array.from({ length: 20 }, async () => text(await get(transport, "/"))));
    assert.deepEqual(new Set(others), new Set(["at once"]));
    held[0]?.end("written");
    assert.equal(await text(await write), "written");
    await transport.close();
    server.close();
  });

  test("after close refuses requests and keeps nothing open", async () => {
    const transport = open(http2Port);
    const { body } = await get(transport, "/stream");
    await transport.close();
    await assert.rejects(text({ statusCode: 200, headers: {}, body }), ConnectionError);
    await assert.rejects(get(transport, "/"), ConnectionError);
  });
});
