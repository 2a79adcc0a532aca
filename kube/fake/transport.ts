import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Client } from "../client.ts";
import { anonymous } from "../config.ts";
import { ConnectionError } from "../errors.ts";
import type { Transport, TransportRequest, TransportResponse } from "../transport.ts";
import { unlessAborted } from "../unless-aborted.ts";
import type { FakeApiServer, FakeResponse } from "./server.ts";
import type { WatchStream } from "./watch.ts";

/** A client of the fake without a network between. */
export function fakeClient(server: FakeApiServer, userAgent = "test"): Client {
  return new Client({ transport: new FakeTransport(server), credentials: anonymous, userAgent });
}

/** Hands requests to the fake directly; bytes and errors are as they would be over HTTP. */
export class FakeTransport implements Transport {
  readonly host = "fake";
  readonly #server: FakeApiServer;
  readonly #closed = new AbortController();

  constructor(server: FakeApiServer) {
    this.#server = server;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    const { method, path, headers, body = "" } = request;
    const signal = AbortSignal.any([request.signal, this.#closed.signal]);
    signal.throwIfAborted();
    // Whoever has gone is not answered, and the server goes on for nobody.
    const response = await unlessAborted(
      this.#server.handle({ method, path, headers, body }).then((answer) => this.#own(answer, signal)),
      signal,
    );
    signal.throwIfAborted();
    return {
      statusCode: response.statusCode,
      headers: { "content-type": "application/json", ...response.headers },
      body: bytesOf(this.#server, response),
    };
  }

  /** Ends a watch with who asked for it, who may have gone before it was answered or read. */
  #own(response: FakeResponse, signal: AbortSignal): FakeResponse {
    if ("watch" in response) {
      const { watch } = response;
      signal.addEventListener("abort", () => close(this.#server, watch, signal.reason), { once: true });
      if (signal.aborted) {
        close(this.#server, watch, signal.reason);
      }
    }
    return response;
  }

  async close(): Promise<void> {
    this.#closed.abort(new ConnectionError("requests to fake: the client was closed"));
  }
}

async function* bytesOf(
  server: FakeApiServer,
  response: FakeResponse,
): AsyncGenerator<Uint8Array, void, void> {
  if (!("watch" in response)) {
    yield Buffer.from(textOf(response));
    return;
  }
  const { watch } = response;
  try {
    for (let line = await watch.next(); line !== undefined; line = await watch.next()) {
      yield Buffer.from(line);
    }
  } finally {
    close(server, watch);
  }
}

function close(server: FakeApiServer, watch: WatchStream, reason?: Error): void {
  if (reason === undefined) {
    watch.end();
  } else {
    watch.break(reason);
  }
  server.watches.delete(watch);
}

/** The fake on a loopback port, for tests of the wire. */
export async function listen(
  server: FakeApiServer,
): Promise<{ url: string; http: Server; close(): Promise<void> }> {
  const http = createServer((request, response) => {
    serve(server, request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const close = async () => {
    http.closeAllConnections();
    http.close();
    await once(http, "close");
  };
  return { url: `http://127.0.0.1:${port}`, http, close };
}

async function serve(
  server: FakeApiServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  const { method = "GET", url: path = "/", headers } = request;
  const answer = await server.handle({ method, path, headers, body: Buffer.concat(chunks).toString("utf8") });
  response.writeHead(answer.statusCode, { "content-type": "application/json", ...answer.headers });
  if (!("watch" in answer)) {
    response.end(textOf(answer));
    return;
  }
  response.flushHeaders();
  response.once("close", () => close(server, answer.watch));
  await pipe(answer.watch, response);
}

async function pipe(watch: WatchStream, response: ServerResponse): Promise<void> {
  for (let line = await watch.next(); line !== undefined; line = await watch.next()) {
    if (!response.write(line)) {
      await Promise.race([once(response, "drain"), once(response, "close")]);
    }
  }
  response.end();
}

function textOf(response: Exclude<FakeResponse, { watch: WatchStream }>): string {
  return "text" in response ? response.text : JSON.stringify(response.body);
}
