/** The proxy's way to the API server: HTTP/1.1 with the client's own credentials. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { request as requestTls, Agent as TlsAgent } from "node:https";
import type { WatchEvent } from "./fault.ts";

export interface UpstreamOptions {
  /** `https://host:port`; `http:` for a server in the same process. */
  readonly server: string;
  readonly ca: string | Buffer;
}

export interface UpstreamReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Headers that belong to a connection, or that the proxy sets itself. */
const DROPPED =
  /^(:.*|connection|keep-alive|transfer-encoding|upgrade|host|content-length|accept-encoding|te)$/i;

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #agent: Agent;
  readonly #request: typeof request;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    const isTls = options.server.startsWith("https:");
    this.#agent = isTls ? new TlsAgent({ keepAlive: true, ca: options.ca }) : new Agent({ keepAlive: true });
    this.#request = isTls ? requestTls : request;
  }

  async send(
    method: string,
    path: string,
    headers: IncomingHttpHeaders,
    body: Buffer | undefined,
  ): Promise<UpstreamReply> {
    const reply = await this.open(method, path, headers, body);
    return { status: reply.statusCode ?? 502, headers: passedOn(reply.headers), body: await readAll(reply) };
  }

  /** Resolves with the head; the caller reads the body. */
  open(
    method: string,
    path: string,
    headers: IncomingHttpHeaders,
    body?: Buffer,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = new URL(path, this.#options.server);
    return new Promise((resolve, reject) => {
      const sent = this.#request(
        url,
        {
          method,
          agent: this.#agent,
          headers: {
            ...passedOn(headers),
            ...(body !== undefined && { "content-length": String(body.length) }),
          },
          ...(signal !== undefined && { signal }),
        },
        resolve,
      );
      sent.once("error", reject);
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function passedOn(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || DROPPED.test(name)
        ? []
        : [[name, Array.isArray(value) ? value.join(", ") : value] as const],
    ),
  );
}

/** The lines of a watch. Ends with the API server's stream; throws when it breaks off. */
export async function* watchLines(body: AsyncIterable<Buffer>): AsyncGenerator<WatchEvent, void, void> {
  const decoder = new TextDecoder();
  let rest: string[] = [];
  for await (const chunk of body) {
    const [first = "", ...lines] = decoder.decode(chunk, { stream: true }).split("\n");
    rest.push(first);
    if (lines.length === 0) continue;
    yield JSON.parse(rest.join("")) as WatchEvent;
    for (const line of lines.slice(0, -1)) yield JSON.parse(line) as WatchEvent;
    rest = [lines.at(-1) ?? ""];
  }
}
