/**
 * The page's server, on loopback. Every program and every web page on this machine can reach it: so only who knows the
 * token in its URL is served, only under the server's own name (a page elsewhere whose name was made to lead here is
 * not: DNS rebinding), and a socket is only opened for the page itself.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import { joinStream } from "../join.ts";
import { Refusal } from "../request.ts";
import { viewerDocument } from "./document.ts";

const MAX_MESSAGE_BYTES = 1024 * 1024;
/** RFC 6455, 5.5: a control frame has 125 bytes, 2 of them for the code. */
const MAX_REASON_BYTES = 123;
/** Close code for the page: what the cluster said will not change by asking again. */
const REFUSED = 4004;
const TRY_AGAIN = 1013;
/** What time may heal: it is starting, the operator or an agent is restarting, the network is away. */
const PASSING: readonly (number | undefined)[] = [undefined, 400, 404, 409, 500, 502, 503, 504];

export interface ViewerOptions {
  readonly title: string;
  /** The page's script. */
  readonly script: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Opens the guest's VNC. @throws Refusal */
  readonly open: () => Promise<WebSocket>;
}

export interface Viewer {
  readonly port: number;
  /** Whoever has it may see and type. */
  readonly url: string;
  close(): void;
}

/** @throws Error when the port can't be opened */
export async function serveViewer(options: ViewerOptions): Promise<Viewer> {
  const token = randomBytes(24).toString("base64url");
  const websockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  const server = createServer((request, response) => answer(request, response, hosts(), token, options));
  const hosts = () => {
    const { port } = server.address() as AddressInfo;
    return [`127.0.0.1:${port}`, `localhost:${port}`];
  };
  server.on("upgrade", (request, socket: Duplex, head) => {
    socket.on("error", () => {});
    const { host = "", origin } = request.headers;
    const isOurs = hosts().includes(host) && origin === `http://${host}`;
    if (!isOurs || resourceOf(request, token) !== "socket") {
      socket.end("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    websockets.handleUpgrade(request, socket, head, (page) => void attach(page, options.open));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(options.port, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}/${token}/`,
    close: () => {
      for (const page of websockets.clients) page.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
}

async function attach(page: WebSocket, open: () => Promise<WebSocket>): Promise<void> {
  // What the page sends before the guest answers waits in its stream.
  const stream = createWebSocketStream(page);
  stream.on("error", () => {});
  try {
    const guest = await open();
    page.once("close", () => guest.close());
    const { code, reason } = await joinStream(guest, stream, stream);
    closeWith(page, [1005, 1006].includes(code) ? 1011 : code, reason);
  } catch (error) {
    const isPassing = !(error instanceof Refusal) || PASSING.includes(error.status);
    closeWith(page, isPassing ? TRY_AGAIN : REFUSED, (error as Error).message);
  }
}

function closeWith(page: WebSocket, code: number, reason: string): void {
  let text = reason;
  while (Buffer.byteLength(text) > MAX_REASON_BYTES) text = text.slice(0, -1);
  page.close(code, text);
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  hosts: readonly string[],
  token: string,
  { title, script }: ViewerOptions,
): void {
  const nonce = randomBytes(16).toString("base64url");
  const headers = {
    "cache-control": "no-store",
    "content-security-policy":
      `default-src 'none'; script-src 'nonce-${nonce}' 'self'; style-src 'nonce-${nonce}'; connect-src 'self'; ` +
      "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };
  const isOurs = hosts.includes(request.headers.host ?? "");
  const resource = isOurs && request.method === "GET" ? resourceOf(request, token) : undefined;
  if (resource === "") {
    response.writeHead(200, { ...headers, "content-type": "text/html; charset=utf-8" });
    response.end(viewerDocument(title, nonce));
  } else if (resource === "viewer.js") {
    response.writeHead(200, { ...headers, "content-type": "text/javascript; charset=utf-8" });
    response.end(script);
  } else {
    response.writeHead(isOurs ? 404 : 403, headers);
    response.end();
  }
}

/** What is asked for behind the token; undefined without the token. */
function resourceOf({ url = "" }: IncomingMessage, token: string): string | undefined {
  const [, given = "", resource, ...rest] = url.split("/");
  const [ours, theirs] = [Buffer.from(token), Buffer.from(given)];
  const isAllowed = ours.length === theirs.length && timingSafeEqual(ours, theirs);
  return isAllowed && rest.length === 0 ? resource : undefined;
}
