/** Answers of the proxy's own, over HTTP/1.1 and HTTP/2 alike. */
import type { ServerResponse } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import type { Answer } from "./fault.ts";

/** HTTP/2's compatibility response has the same methods under types of its own. */
export type Response = ServerResponse;

/** Ends a response without an answer: its stream on HTTP/2, its connection on HTTP/1.1. */
export function cut(response: Response): void {
  const { stream } = response as unknown as Partial<Http2ServerResponse>;
  if (stream === undefined) response.destroy();
  else stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}

export function answer(response: Response, { status, headers, body }: Answer): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

export function parsed(body: Buffer | undefined): unknown {
  if (body === undefined || body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** Leaves what is no JSON as it is. */
export function rewriteJson(body: Buffer, rewrite: (value: unknown) => unknown): Buffer {
  const value = parsed(body);
  return value === undefined ? body : Buffer.from(JSON.stringify(rewrite(value)));
}
