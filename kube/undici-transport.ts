import { lookup } from "node:dns";
import type { LookupFunction, Socket } from "node:net";
import { buildConnector, type Dispatcher, errors, Pool, ProxyAgent } from "undici";
import type { ClusterConfig, TlsMaterial } from "./config.ts";
import { ConnectionWatchdog } from "./connection-watchdog.ts";
import { ConnectionError, TimeoutError } from "./errors.ts";
import type { Transport, TransportRequest, TransportResponse } from "./transport.ts";
import { cancelUnrequestedStreams } from "./unrequested-streams.ts";

/** HTTP/2 connections per API server. Each carries 100 streams, so this is watches and writes with room to spare. */
const MAX_CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 10_000;
/** A ping keeps bytes coming on a connection whose watches are quiet, so silence means death; see the watchdog. */
const PING_INTERVAL_MS = 15_000;
/** An idle connection is kept this long; a reconciler is never idle for long and TLS costs two round trips. */
const IDLE_TIMEOUT_MS = 90_000;
/** Flow control as in Go: one slow watch must not use up the window of the connection all share. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024;

class NotHttp2Error extends Error {}

/**
 * HTTP to one API server over one shared pool: HTTP/2 where the server offers it, else HTTP/1.1 with as many
 * connections as there are requests at once.
 */
export class UndiciTransport implements Transport {
  readonly host: string;
  readonly #config: ClusterConfig;
  readonly #basePath: string;
  readonly #origin: string;
  readonly #watchdog: ConnectionWatchdog;
  readonly #pingIntervalMs: number;
  readonly #onLookup: (seconds: number) => void;
  readonly #stopCancelling = cancelUnrequestedStreams();
  #tls: TlsMaterial;
  #dispatcher: Dispatcher;
  /** Pools that take no new requests and end with those they have. */
  readonly #retired = new Set<Dispatcher>();
  #isHttp2: boolean;
  #closed = false;

  /**
   * @param options.http2 false forces HTTP/1.1
   * @param options.pingIntervalMs pause between two pings on an HTTP/2 connection; 15 s unless told
   * @param options.silenceLimitMs silence after which such a connection is taken for dead; 45 s unless told
   * @param options.onLookup is told how long it took to find the server's addresses
   */
  constructor(
    config: ClusterConfig,
    options: {
      http2?: boolean;
      pingIntervalMs?: number;
      silenceLimitMs?: number;
      onLookup?: (seconds: number) => void;
    } = {},
  ) {
    const { silenceLimitMs, pingIntervalMs = PING_INTERVAL_MS, onLookup = () => {} } = options;
    this.#watchdog = new ConnectionWatchdog(silenceLimitMs === undefined ? {} : { silenceLimitMs });
    this.#pingIntervalMs = pingIntervalMs;
    this.#onLookup = onLookup;
    const url = new URL(config.server);
    this.host = url.host;
    this.#config = config;
    this.#tls = config.tls;
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/$/, "");
    this.#isHttp2 = options.http2 !== false && url.protocol === "https:" && config.proxyUrl === undefined;
    this.#dispatcher = this.#isHttp2 ? this.#http2Pool() : this.#http1();
  }

  /** True unless the server was found to speak HTTP/1.1 only. */
  get isHttp2(): boolean {
    return this.#isHttp2;
  }

  /** Open TCP connections. */
  get connections(): number {
    return this.#watchdog.size;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    try {
      return await this.#dispatch(request);
    } catch (error) {
      if (this.#isHttp2 && error instanceof NotHttp2Error) {
        this.#isHttp2 = false;
        this.#replace(this.#http1());
      }
      if (error instanceof NotHttp2Error) {
        return this.#dispatch(request);
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      const error = new ConnectionError(`requests to ${this.host}: the client was closed`);
      await Promise.all([this.#dispatcher, ...this.#retired].map((dispatcher) => dispatcher.destroy(error)));
      this.#watchdog.stop();
      this.#stopCancelling();
    }
  }

  async #dispatch(request: TransportRequest): Promise<TransportResponse> {
    if (this.#closed) {
      throw new ConnectionError(`${request.method} ${request.path}: the client was closed`);
    }
    if (this.#config.tls !== this.#tls) {
      // A certificate was rotated.
      this.#tls = this.#config.tls;
      this.#replace(this.#isHttp2 ? this.#http2Pool() : this.#http1());
    }
    const { statusCode, headers, body } = await this.#dispatcher.request({
      origin: this.#origin,
      method: request.method,
      path: this.#basePath + request.path,
      headers: request.headers,
      signal: request.signal,
      // The caller's deadline covers the head.
      headersTimeout: 0,
      bodyTimeout: request.silenceTimeoutMs ?? 0,
      ...(request.body !== undefined && { body: request.body }),
    });
    return { statusCode, headers, body: translateErrors(body, request) };
  }

  /** Requests under way end where they are; a watch may take 10 min. */
  #replace(next: Dispatcher): void {
    const previous = this.#dispatcher;
    this.#dispatcher = next;
    this.#retired.add(previous);
    previous
      .close()
      .catch(() => {})
      .finally(() => this.#retired.delete(previous));
  }

  #http2Pool(): Dispatcher {
    const pool = new Pool(this.#origin, {
      connect: this.#connector(true),
      allowH2: true,
      connections: MAX_CONNECTIONS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      h2Options: {
        pingInterval: this.#pingIntervalMs,
        maxConcurrentStreams: 100,
        connectionWindowSize: CONNECTION_WINDOW_BYTES,
        settings: { initialWindowSize: STREAM_WINDOW_BYTES },
      },
    });
    pool.on("disconnect", (_origin, _targets, error) => {
      // A request that undici gives a connection which drains after GOAWAY is never sent, for as long as a watch
      // keeps that connection open; and the server asks for another connection. undici has no code for it.
      if (this.#dispatcher === pool && error.message.includes("GOAWAY")) {
        this.#replace(this.#http2Pool());
      }
    });
    return pool;
  }

  #http1(): Dispatcher {
    const { proxyUrl } = this.#config;
    return proxyUrl === undefined
      ? new Pool(this.#origin, {
          connect: this.#connector(false),
          allowH2: false,
          keepAliveTimeout: IDLE_TIMEOUT_MS,
        })
      : new ProxyAgent({ uri: proxyUrl, requestTls: tlsOptions(this.#tls), allowH2: false });
  }

  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    const startMs = performance.now();
    lookup(hostname, options, (error, ...found) => {
      this.#onLookup((performance.now() - startMs) / 1000);
      callback(error, ...found);
    });
  };

  /** Connects, watches over the socket, and refuses one whose server did not choose HTTP/2 where we count on it. */
  #connector(requireHttp2: boolean): buildConnector.connector {
    const connect = buildConnector({
      ...tlsOptions(this.#tls),
      allowH2: requireHttp2,
      timeout: CONNECT_TIMEOUT_MS,
      lookup: this.#lookup,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    });
    return (options, callback) =>
      connect(options, (error, socket) => {
        if (error !== null) {
          callback(error, null);
          return;
        }
        if (requireHttp2 && (socket as Socket & { alpnProtocol?: string | false }).alpnProtocol !== "h2") {
          socket.destroy();
          callback(new NotHttp2Error(`${this.host} does not speak HTTP/2`), null);
          return;
        }
        this.#watchdog.add(socket, requireHttp2);
        callback(null, socket);
      });
  }
}

function tlsOptions(tls: TlsMaterial): TlsMaterial {
  return Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
}

/** Gives failures inside a body our types. */
async function* translateErrors(
  body: AsyncIterable<Uint8Array>,
  request: TransportRequest,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* body;
  } catch (error) {
    if (request.signal.aborted) {
      throw request.signal.reason;
    }
    const what = `${request.method} ${request.path}`;
    throw error instanceof errors.BodyTimeoutError
      ? new TimeoutError(`${what}: nothing came for ${request.silenceTimeoutMs} ms`, { cause: error })
      : new ConnectionError(`${what}: the connection broke inside the answer`, { cause: error });
  }
}
