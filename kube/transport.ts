/** The edge between the client and HTTP: real servers over undici, the in-memory server in tests. */

export interface TransportRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Ends the request, its response's body included. */
  readonly signal: AbortSignal;
  /** Longest silence inside the body, after which it fails with TimeoutError. */
  readonly silenceTimeoutMs?: number;
}

export interface TransportResponse {
  readonly statusCode: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** To be read to its end, or left by `break`, which closes the stream. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Transport {
  /** Host and port, for messages and the metrics' `host` label. */
  readonly host: string;
  /**
   * Sends one request and resolves with the response's head.
   * @throws ConnectionError when no answer comes; the signal's reason when it aborts
   */
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Closes the connections. Requests in flight fail. */
  close(): Promise<void>;
}
