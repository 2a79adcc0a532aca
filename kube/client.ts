import { Backoff } from "../lib/backoff.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Credentials } from "./config.ts";
import { Deadline } from "./deadline.ts";
import { ConnectionError, errorFromStatus, KubeError, ProtocolError, type Status } from "./errors.ts";
import { KubeMetrics } from "./metrics.ts";
import type { KubeObject, ResourceDescriptor } from "./objects.ts";
import type { RequestOptions } from "./request.ts";
import { ResourceClient } from "./resource-client.ts";
import type { Transport, TransportRequest, TransportResponse } from "./transport.ts";

export interface ClientOptions {
  readonly transport: Transport;
  readonly credentials: Credentials;
  /** Who asks; the audit log and API priority tell clients apart by it. "program/version (component)". */
  readonly userAgent: string;
  /** Called before each attempt to write; what it throws ends the write. */
  readonly beforeWrite?: () => void;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export interface Request extends RequestOptions {
  readonly method: TransportRequest["method"];
  /** Path and query. */
  readonly path: string;
  /** What is being done on what, for messages: "get pods default/vm-a". */
  readonly action: string;
  readonly body?: unknown;
  readonly contentType?: string;
  /** JSON unless told. */
  readonly accept?: string;
}

export interface StreamRequest {
  readonly path: string;
  readonly action: string;
  readonly signal: AbortSignal;
  readonly headersTimeoutMs?: number;
  readonly silenceTimeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** Another try after 429 or 5xx only when the server names a time, as client-go does. */
const MAX_RETRIES = 10;
/** A larger answer is a mistake of the caller's: lists come in pages. etcd's own limit is 1.5 MiB per object. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

/** Requests to one API server, with typed results and typed errors. */
export class Client {
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #credentials: Credentials;
  readonly #userAgent: string;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #random: (() => number) | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#transport = options.transport;
    this.#credentials = options.credentials;
    this.#userAgent = options.userAgent;
    this.#metrics = options.metrics ?? new KubeMetrics();
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random;
  }

  /** Typed access to the objects of one kind. */
  resource<T extends KubeObject>(descriptor: ResourceDescriptor<T>): ResourceClient<T> {
    return new ResourceClient(this, descriptor);
  }

  /**
   * A client over the same connections that asks before it writes: `client.fenced(() => elector.assertLeading())`.
   * It is for what only a leader may write; the lease itself needs a client without.
   */
  fenced(beforeWrite: () => void): Client {
    return new Client({ ...this.#options, metrics: this.#metrics, beforeWrite });
  }

  /** Closes the connections. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  /**
   * One request with a JSON answer.
   * Tries again after 401 with fresh credentials, after 429 and 5xx that carry Retry-After, and after a broken
   * connection when the request only reads; never past the deadline.
   * @throws KubeError of the failure; the signal's reason when the caller aborts
   */
  async request<T>(request: Request): Promise<T> {
    const deadline = new Deadline(
      this.#clock,
      request.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      request.action,
      request.signal,
    );
    try {
      return await this.#attempts(request, deadline, (signal) => this.#exchange<T>(request, signal));
    } finally {
      deadline.dispose();
    }
  }

  /** A plain-text answer, for paths such as /readyz and the log subresource. */
  async requestText(request: Request): Promise<string> {
    const deadline = new Deadline(
      this.#clock,
      request.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      request.action,
      request.signal,
    );
    try {
      return await this.#attempts(request, deadline, async (signal) => {
        return this.#readText(request, await this.#send(request, signal));
      });
    } finally {
      deadline.dispose();
    }
  }

  /** Opens a stream; the deadline covers the head only. The caller reads or leaves the body. */
  async stream(request: StreamRequest): Promise<TransportResponse> {
    const head: Request = { method: "GET", path: request.path, action: request.action };
    const timeoutMs = request.headersTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    const deadline = new Deadline(this.#clock, timeoutMs, request.action, request.signal);
    const body = request.silenceTimeoutMs === undefined ? {} : { silenceTimeoutMs: request.silenceTimeoutMs };
    try {
      const send = () => this.#send(head, deadline.signal, body);
      const response = await this.#attempts(head, deadline, send);
      deadline.disarm();
      return response;
    } catch (error) {
      deadline.dispose();
      throw error;
    }
  }

  async #attempts<R>(
    request: Request,
    deadline: Deadline,
    run: (signal: AbortSignal) => Promise<R>,
  ): Promise<R> {
    const backoff = new Backoff({
      initialMs: 100,
      maxMs: 5000,
      clock: this.#clock,
      ...(this.#random !== undefined && { random: this.#random }),
    });
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await run(deadline.signal);
      } catch (error) {
        if (deadline.signal.aborted) {
          throw deadline.signal.reason;
        }
        if (!(error instanceof KubeError) || attempt >= MAX_RETRIES) {
          throw error;
        }
        const waitMs = retryDelayMs(request, error, backoff);
        if (waitMs === undefined || waitMs >= deadline.remainingMs()) {
          throw error;
        }
        this.#metrics.requestRetried(error.statusCode, request.method, this.#transport.host);
        await deadline.sleep(waitMs);
      }
    }
  }

  async #exchange<T>(request: Request, signal: AbortSignal): Promise<T> {
    const response = await this.#send(request, signal);
    return parseJson<T>(await this.#readText(request, response), request.action);
  }

  async #readText({ action, method }: Request, response: TransportResponse): Promise<string> {
    const bytes = await readBody(response, action);
    this.#metrics.responseRead(method, this.#transport.host, bytes.length);
    return bytes.toString("utf8");
  }

  /** Sends, with fresh credentials once more after a 401, and answers with a successful response. */
  async #send(
    request: Request,
    signal: AbortSignal,
    extra: Pick<TransportRequest, "silenceTimeoutMs"> = {},
  ): Promise<TransportResponse> {
    const identity = await this.#credentials.headers(signal);
    let response = await this.#sendAs(identity, request, signal, extra);
    if (response.statusCode === 401 && this.#credentials.refresh(identity)) {
      this.#metrics.requestRetried(401, request.method, this.#transport.host);
      await this.#readText(request, response);
      response = await this.#sendAs(await this.#credentials.headers(signal), request, signal, extra);
    }
    if (response.statusCode < 200 || response.statusCode > 299) {
      throw failure(request.action, response, await this.#readText(request, response));
    }
    return response;
  }

  async #sendAs(
    identity: Readonly<Record<string, string>>,
    request: Request,
    signal: AbortSignal,
    extra: Pick<TransportRequest, "silenceTimeoutMs">,
  ): Promise<TransportResponse> {
    const { method, path } = request;
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const headers = {
      ...identity,
      accept: request.accept ?? "application/json",
      "user-agent": this.#userAgent,
      ...(body !== undefined && { "content-type": request.contentType ?? "application/json" }),
    };
    if (method !== "GET") {
      this.#options.beforeWrite?.();
    }
    signal.throwIfAborted();
    const startMs = this.#clock.monotonic();
    const observe = (code: string) =>
      this.#metrics.requestDone(
        code,
        method,
        this.#transport.host,
        (this.#clock.monotonic() - startMs) / 1000,
        body === undefined ? undefined : Buffer.byteLength(body),
      );
    let response: TransportResponse;
    try {
      response = await this.#transport.send({
        method,
        path,
        headers,
        signal,
        ...(body !== undefined && { body }),
        ...extra,
      });
    } catch (error) {
      observe("<error>");
      throw error instanceof KubeError || signal.aborted
        ? error
        : new ConnectionError(`${request.action}: no answer from ${this.#transport.host}`, { cause: error });
    }
    observe(String(response.statusCode));
    return response;
  }
}

/** How long to wait before another try, or undefined when there should be none. */
function retryDelayMs(request: Request, error: KubeError, backoff: Backoff): number | undefined {
  if (error.retryAfterMs !== undefined && (error.statusCode === 429 || (error.statusCode ?? 0) >= 500)) {
    return error.retryAfterMs;
  }
  return error instanceof ConnectionError && request.method === "GET" ? backoff.next() : undefined;
}

function failure(action: string, response: TransportResponse, text: string): KubeError {
  const retryAfter = response.headers["retry-after"];
  const header = Array.isArray(retryAfter) ? retryAfter[0] : retryAfter;
  let status: Status | undefined;
  try {
    status = JSON.parse(text) as Status;
  } catch {
    // A proxy's HTML page: the code says enough, its first words help.
    status = { message: text.slice(0, 200) };
  }
  return errorFromStatus(action, response.statusCode, status, header);
}

async function readBody(response: TransportResponse, action: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new ProtocolError(`${action}: the answer is larger than ${MAX_BODY_BYTES} bytes; ask for pages`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function parseJson<T>(text: string, action: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new ProtocolError(`${action}: the answer is not JSON: ${text.slice(0, 100)}`, { cause: error });
  }
}
