/**
 * The dialling end: it dials a socket and then serves HTTP/2 requests that travel towards it.
 * Used by the agent (towards the operator) and by the launcher (towards the agent).
 */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { ErrorBody } from "../api/launcher-protocol.ts";
import { RequestError, TransportError } from "./errors.ts";
import { streamEnded } from "./heap.ts";
import { parseJson } from "./lines.ts";
import {
  destroySession,
  END_REASON_TRAILER,
  type KeepAliveOptions,
  keepAlive,
  SESSION_OPTIONS,
  sessionEnd,
  widenWindow,
} from "./session.ts";

/** Largest JSON body of a request, in bytes. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Handlers by `METHOD /path`; a segment `{name}` matches any one segment and becomes a parameter. */
export type Routes = Readonly<Record<string, Handler>>;

/** Answers one request. What it throws is answered as an ErrorBody, a RequestError with its own status. */
export type Handler = (request: TransportRequest) => Promise<void> | void;

export interface ServeOptions {
  readonly keepAlive?: KeepAliveOptions;
  /** Told of what a handler threw that was no RequestError. */
  readonly onHandlerError?: (route: string, error: unknown) => void;
}

export interface ServedConnection {
  /** Resolves when the connection is over, however it ended. */
  readonly ended: Promise<{ readonly cause?: Error }>;
  /** Lets requests under way finish, accepts no more. */
  close(): void;
  destroy(error?: Error): void;
}

/** Serves `routes` on a connected socket. The socket belongs to the session from then on. */
export function serveHttp2(socket: Duplex, routes: Routes, options: ServeOptions = {}): ServedConnection {
  const session: ServerHttp2Session = performServerHandshake(socket, SESSION_OPTIONS);
  widenWindow(session);
  const ended = sessionEnd(session);
  if (options.keepAlive) keepAlive(session, socket, options.keepAlive);
  const table = compile(routes);
  session.on("stream", (stream, headers) => {
    const method = String(headers[":method"] ?? "");
    const path = String(headers[":path"] ?? "");
    void answer(table, new TransportRequest(stream, method, path), options);
  });
  return {
    ended,
    close: () => session.close(),
    destroy: (error) => destroySession(session, socket, error),
  };
}

/** One request and the ways to answer it; exactly one of reply, replyStream or accept is called. */
export class TransportRequest {
  readonly method: string;
  readonly path: string;
  readonly stream: ServerHttp2Stream;
  params: Readonly<Record<string, string>> = {};

  constructor(stream: ServerHttp2Stream, method: string, path: string) {
    this.stream = stream;
    this.method = method;
    this.path = path;
    // A stream that the peer resets emits an error; the handler sees the close, nobody needs the error.
    stream.on("error", () => {});
  }

  /**
   * The body as JSON.
   * @throws TransportError BodyTooLarge, MalformedJson
   */
  async json(maxBytes: number = MAX_BODY_BYTES): Promise<unknown> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) {
        throw new TransportError(
          "BodyTooLarge",
          `the body of ${this.method} ${this.path} exceeds ${maxBytes} bytes`,
        );
      }
      chunks.push(chunk);
    }
    return parseJson(Buffer.concat(chunks).toString("utf8"));
  }

  reply(status: number, body?: unknown): void {
    if (this.stream.destroyed || this.stream.headersSent) return;
    if (body === undefined) {
      this.stream.respond({ ":status": status }, { endStream: true });
      return;
    }
    this.stream.respond({ ":status": status, "content-type": "application/json" });
    this.stream.end(JSON.stringify(body));
  }

  /**
   * Answers 200 with a stream of JSON values, one a line, until the peer leaves. The source is read only as fast
   * as the peer reads, so a source that yields the newest state each time never piles up old ones.
   */
  async replyLines(source: AsyncIterable<unknown>): Promise<void> {
    this.stream.respond({ ":status": 200, "content-type": "application/x-ndjson" });
    // One promise for each wait: a race with one that lives as long as the stream would keep every value of its life.
    let leave = () => {};
    this.stream.once("close", () => leave());
    const orGone = <T>(waiting: Promise<T>): Promise<T | undefined> =>
      new Promise((resolve, reject) => {
        leave = () => resolve(undefined);
        if (this.stream.closed) leave();
        waiting.then(resolve, reject);
      });
    const values = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await orGone(values.next());
        if (next === undefined || next.done) break;
        if (!this.stream.write(`${JSON.stringify(next.value)}\n`)) {
          await orGone(new Promise((resolve) => this.stream.once("drain", resolve)));
        }
      }
    } finally {
      // Not awaited: a generator that waits inside next() would hold its return() back.
      void values.return?.();
      this.stream.end();
    }
  }

  /**
   * Answers 200 and hands over the stream for bytes in both directions.
   * @param endReason why this side has ended it, asked once all is sent. It travels in a trailer: without one the
   *   other side knows that the stream broke off
   */
  accept(endReason: () => string | undefined = () => undefined): ServerHttp2Stream {
    const { stream } = this;
    stream.once("close", streamEnded);
    stream.once("wantTrailers", () => stream.sendTrailers({ [END_REASON_TRAILER]: endReason() ?? "ended" }));
    stream.respond({ ":status": 200, "content-type": "application/octet-stream" }, { waitForTrailers: true });
    return stream;
  }

  fail(status: number, body: ErrorBody): void {
    if (this.stream.headersSent) this.stream.close();
    else this.reply(status, body);
  }
}

interface CompiledRoute {
  readonly name: string;
  readonly method: string;
  readonly segments: readonly string[];
  readonly handle: Handler;
}

function compile(routes: Routes): readonly CompiledRoute[] {
  return Object.entries(routes).map(([name, handle]) => {
    const [method = "", path = ""] = name.split(" ");
    return { name, method, segments: path.split("/"), handle };
  });
}

async function answer(
  table: readonly CompiledRoute[],
  request: TransportRequest,
  options: ServeOptions,
): Promise<void> {
  const segments = (request.path.split("?", 1)[0] ?? "").split("/");
  const route = table.find(
    (candidate) => candidate.method === request.method && matches(candidate, segments),
  );
  if (route === undefined) {
    request.fail(404, { code: "UnknownRoute", message: `there is no ${request.method} ${request.path}` });
    return;
  }
  try {
    request.params = parameters(route, segments);
    await route.handle(request);
  } catch (error) {
    if (error instanceof RequestError) {
      request.fail(error.status, { code: error.code, message: error.message });
    } else if (error instanceof TransportError) {
      request.fail(400, { code: error.code, message: error.message });
    } else {
      options.onHandlerError?.(route.name, error);
      request.fail(500, {
        code: "Internal",
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
}

function matches(route: CompiledRoute, segments: readonly string[]): boolean {
  return (
    route.segments.length === segments.length &&
    route.segments.every((segment, i) => segment.startsWith("{") || segment === segments[i])
  );
}

function parameters(route: CompiledRoute, segments: readonly string[]): Record<string, string> {
  const result: Record<string, string> = {};
  route.segments.forEach((segment, i) => {
    if (segment.startsWith("{")) result[segment.slice(1, -1)] = decoded(segments[i] ?? "");
  });
  return result;
}

/** @throws RequestError 400 */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new RequestError(400, "MalformedPath", `"${segment}" is no percent-encoded text`, { cause });
  }
}
