/**
 * The accepting end: a peer dialled in, and requests travel back to it over its connection.
 * Used by the operator (towards agents) and by the agent (towards launchers).
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { RequestError, TransportError } from "./errors.ts";
import { parseJson, readLines } from "./lines.ts";
import { MAX_BODY_BYTES } from "./server.ts";
import {
  destroySession,
  END_REASON_TRAILER,
  type KeepAliveOptions,
  keepAlive,
  SESSION_OPTIONS,
  sessionEnd,
  widenWindow,
} from "./session.ts";

/** Until a response's headers (and for `request` its body) must be there, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 10_000;

export interface RequestOptions {
  readonly body?: unknown;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export class Http2Client {
  /** Resolves when the connection is over, however it ended. */
  readonly ended: Promise<{ readonly cause?: Error }>;
  readonly #session: ClientHttp2Session;
  readonly #socket: Duplex;

  /** Speaks HTTP/2 as a client on an accepted socket, which belongs to the session from then on. */
  constructor(socket: Duplex, options: { readonly keepAlive?: KeepAliveOptions } = {}) {
    this.#socket = socket;
    this.#session = connect("http://peer", { ...SESSION_OPTIONS, createConnection: () => socket });
    widenWindow(this.#session);
    this.ended = sessionEnd(this.#session);
    if (options.keepAlive) keepAlive(this.#session, socket, options.keepAlive);
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  /**
   * One request with a JSON answer (undefined where the answer has no body).
   * @throws RequestError the peer's refusal · TransportError ConnectionClosed, DeadlineExceeded, MalformedJson
   */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const deadline = AbortSignal.timeout(options.deadlineMs ?? DEFAULT_DEADLINE_MS);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
    const stream = this.#start(method, path, options.body === undefined);
    if (options.body !== undefined) stream.end(JSON.stringify(options.body));
    const status = await responseStatus(stream, signal, `${method} ${path}`);
    const text = await readBody(stream, signal, `${method} ${path}`);
    if (status >= 400) throw refusal(status, text, method, path);
    return text === "" ? undefined : parseJson(text);
  }

  /** GET of an NDJSON stream: the values as they come, until either side ends it. */
  async *lines(
    path: string,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<unknown, void, void> {
    const stream = this.#start("GET", path, true);
    const abandon = () => stream.close();
    options.signal?.addEventListener("abort", abandon, { once: true });
    try {
      await this.#expectSuccess(stream, "GET", path, options.signal);
      yield* readLines(stream as AsyncIterable<Buffer>);
    } finally {
      options.signal?.removeEventListener("abort", abandon);
      stream.close();
    }
  }

  /** POST that becomes a stream of bytes in both directions once the peer has answered 200. */
  async open(path: string, options: { readonly signal?: AbortSignal } = {}): Promise<ClientHttp2Stream> {
    const stream = this.#start("POST", path, false);
    stream.once("trailers", (trailers) => {
      const reason = trailers[END_REASON_TRAILER];
      if (typeof reason === "string") endReasons.set(stream, reason);
    });
    await this.#expectSuccess(stream, "POST", path, options.signal);
    return stream;
  }

  close(): void {
    this.#session.close();
  }

  destroy(error?: Error): void {
    destroySession(this.#session, this.#socket, error);
  }

  #start(method: string, path: string, endStream: boolean): ClientHttp2Stream {
    if (!this.isOpen)
      throw new TransportError("ConnectionClosed", `${method} ${path}: the connection is closed`);
    const stream = this.#session.request({ ":method": method, ":path": path }, { endStream });
    // Failures reach the caller through the awaited response or the reading; this keeps late ones from being fatal.
    stream.on("error", () => {});
    return stream;
  }

  async #expectSuccess(
    stream: ClientHttp2Stream,
    method: string,
    path: string,
    caller: AbortSignal | undefined,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(DEFAULT_DEADLINE_MS);
    const signal = caller === undefined ? deadline : AbortSignal.any([deadline, caller]);
    const status = await responseStatus(stream, signal, `${method} ${path}`);
    if (status >= 400) {
      throw refusal(status, await readBody(stream, signal, `${method} ${path}`), method, path);
    }
  }
}

const endReasons = new WeakMap<ClientHttp2Stream, string>();

/**
 * Why the peer has ended a stream that `open` returned, `ended` where it has no reason to tell. Known a moment after
 * the end; undefined where the stream broke off, which looks like an end otherwise.
 */
export function endReason(stream: ClientHttp2Stream): string | undefined {
  return endReasons.get(stream);
}

function responseStatus(stream: ClientHttp2Stream, signal: AbortSignal, request: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      signal.removeEventListener("abort", abandon);
      stream.off("response", respond);
      stream.off("error", fail);
      stream.off("close", close);
    };
    const respond = (headers: { ":status"?: number | undefined }) => {
      settle();
      resolve(Number(headers[":status"] ?? 500));
    };
    const fail = (cause: Error) => {
      settle();
      reject(new TransportError("ConnectionClosed", `${request}: ${cause.message}`, { cause }));
    };
    const close = () => fail(new Error("the peer closed the stream before it answered"));
    const abandon = () => {
      settle();
      stream.close();
      reject(abandoned(signal, request));
    };
    if (signal.aborted) {
      abandon();
      return;
    }
    signal.addEventListener("abort", abandon, { once: true });
    stream.once("response", respond);
    stream.once("error", fail);
    stream.once("close", close);
  });
}

async function readBody(stream: ClientHttp2Stream, signal: AbortSignal, request: string): Promise<string> {
  const abandon = () => stream.destroy(abandoned(signal, request));
  signal.addEventListener("abort", abandon, { once: true });
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) {
        stream.close();
        throw new TransportError("BodyTooLarge", `the answer to ${request} exceeds ${MAX_BODY_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
  } finally {
    signal.removeEventListener("abort", abandon);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function abandoned(signal: AbortSignal, request: string): TransportError {
  return new TransportError("DeadlineExceeded", `${request}: no answer in time`, { cause: signal.reason });
}

function refusal(status: number, text: string, method: string, path: string): RequestError {
  const body = bodyOf(text);
  return new RequestError(
    status,
    body?.code ?? "Unknown",
    body?.message ?? `${method} ${path}: status ${status}`,
  );
}

function bodyOf(text: string): { readonly code: string; readonly message: string } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { code, message } = value as { code?: unknown; message?: unknown };
    return typeof code === "string" && typeof message === "string" ? { code, message } : undefined;
  } catch {
    return undefined;
  }
}
