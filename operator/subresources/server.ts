/**
 * The aggregated API: HTTPS towards the API server's front proxy. It serves discovery and the
 * subresources of VMIs; each request is authorised by the API server under the caller's own name.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import { SUBRESOURCES_GROUP, SUBRESOURCES_PORT } from "../../api/names.ts";
import { relay } from "../../transport/relay.ts";
import type { KeyedCertificate } from "../certificates/authority.ts";
import { type Caller, callerOf, type FrontProxyTrust } from "./caller.ts";
import type { SubresourceHandlers } from "./handler.ts";
import { discovery, parseSubresourcePath, type SubresourcePath } from "./path.ts";
import { StatusError, statusBody } from "./status.ts";

export interface SubresourceServerOptions {
  /** To begin with. */
  readonly certificate: KeyedCertificate;
  /** To begin with. */
  readonly trust: FrontProxyTrust;
  /** SubjectAccessReview: may the caller do `verb` on this subresource? */
  readonly authorize: (caller: Caller, verb: string, path: SubresourcePath) => Promise<boolean>;
  /** Opens the byte stream of a VMI's `console` or `vnc`. @throws StatusError */
  readonly openStream: (path: SubresourcePath) => Promise<Duplex>;
  /** The subresources that are no streams. */
  readonly handlers: SubresourceHandlers;
  readonly onError: (request: string, error: unknown) => void;
  readonly port?: number;
  readonly host?: string;
}

/** virtctl's subprotocol: the websocket's binary messages are the stream's bytes. */
export const PLAIN_PROTOCOL = "plain.kubevirt.io";
const STREAMS: readonly string[] = ["console", "vnc"];
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** A freeze request is a few dozen bytes. */
const MAX_BODY_BYTES = 64 * 1024;
/** A caller of many groups has them all in the headers; Go's servers take 1 MiB. */
const MAX_HEADER_BYTES = 256 * 1024;
/** Ends the streams of an API server that vanished. */
const TCP_KEEP_ALIVE_MS = 30_000;
const LAST_BYTES_MS = 500;

export class SubresourceServer {
  readonly #server: Server;
  readonly #options: SubresourceServerOptions;
  #certificate: KeyedCertificate;
  #trust: FrontProxyTrust;
  /** Upgraded ones too, which the server itself knows no more. */
  readonly #sockets = new Set<TLSSocket>();
  readonly #websockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PLAIN_PROTOCOL) ? PLAIN_PROTOCOL : false),
  });

  constructor(options: SubresourceServerOptions) {
    this.#options = options;
    this.#certificate = options.certificate;
    this.#trust = options.trust;
    this.#server = createServer({
      ...tlsMaterial(options.certificate, options.trust),
      requestCert: true,
      rejectUnauthorized: true,
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    });
    this.#server.on("request", (request, response) => void this.#answer(request, response));
    this.#server.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
    this.#server.on("secureConnection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Resolves with the port once it listens. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port ?? SUBRESOURCES_PORT, this.#options.host ?? "::", () => {
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  }

  /** For connections to come; those that are there stay as they are. */
  renewCertificate(certificate: KeyedCertificate): void {
    this.#server.setSecureContext(tlsMaterial(certificate, this.#trust));
    this.#certificate = certificate;
  }

  /** Whose certificate is taken, for connections to come; who may speak for callers, at once. */
  renewTrust(trust: FrontProxyTrust): void {
    this.#server.setSecureContext(tlsMaterial(this.#certificate, trust));
    this.#trust = trust;
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = discovery(pathnameOf(request)) ?? (await this.#handle(request));
      response.writeHead(200, { "content-type": "application/json" });
      response.end(answer === undefined ? undefined : JSON.stringify(answer));
    } catch (error) {
      const status = this.#statusOf(request, error);
      response.writeHead(status.code, { "content-type": "application/json" });
      response.end(statusBody(status));
    }
  }

  /** @throws StatusError */
  async #handle(request: IncomingMessage): Promise<unknown> {
    const path = await this.#authorized(request);
    const { group, resource, subresource } = path;
    if (group === SUBRESOURCES_GROUP && STREAMS.includes(subresource)) {
      throw new StatusError("BadRequest", `${subresource} is a websocket: the request carries no upgrade`);
    }
    const name = `${resource}/${subresource}`;
    const handler = Object.hasOwn(this.#options.handlers, name) ? this.#options.handlers[name] : undefined;
    if (handler === undefined || (handler.group ?? SUBRESOURCES_GROUP) !== group) {
      throw new StatusError("NotFound", `virtpod serves no subresource ${subresource} of ${resource}`);
    }
    if (request.method !== handler.method) {
      throw new StatusError("MethodNotAllowed", `${name} takes ${handler.method}, not ${request.method}`);
    }
    return handler.answer(path, await readJson(request));
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {});
    try {
      const path = await this.#authorized(request);
      const { group, resource, subresource } = path;
      const isStream = group === SUBRESOURCES_GROUP && STREAMS.includes(subresource);
      if (resource !== "virtualmachineinstances" || !isStream) {
        throw new StatusError("NotFound", `virtpod streams no ${path.subresource} of ${path.resource}`);
      }
      // Opened before the upgrade is answered, so that a refusal reaches the caller as a Status.
      const stream = await this.#options.openStream(path);
      if (socket.destroyed) {
        stream.destroy();
        return;
      }
      let isUpgraded = false;
      this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
        isUpgraded = true;
        closeAfter(websocket, stream);
        void relay(createWebSocketStream(websocket), stream);
      });
      // A handshake that is no websocket's has been answered, and nobody will read the console.
      if (!isUpgraded) stream.destroy();
    } catch (error) {
      const status = this.#statusOf(request, error);
      const body = statusBody(status);
      socket.end(
        `HTTP/1.1 ${status.code} ${status.reason}\r\ncontent-type: application/json\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }

  /** @throws StatusError NotFound, Unauthorized, Forbidden */
  async #authorized(request: IncomingMessage): Promise<SubresourcePath> {
    const path = parseSubresourcePath(pathnameOf(request));
    if (path === undefined)
      throw new StatusError("NotFound", "the server could not find the requested resource");
    const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject ?? {};
    const caller = callerOf(this.#trust, typeof CN === "string" ? CN : undefined, request.headersDistinct);
    if (caller === undefined) throw new StatusError("Unauthorized", "the front proxy names no caller");
    const verb = request.method === "PUT" || request.method === "POST" ? "update" : "get";
    if (!(await this.#options.authorize(caller, verb, path))) {
      throw new StatusError(
        "Forbidden",
        `User "${caller.user}" cannot ${verb} resource "${path.resource}/${path.subresource}" in API group ` +
          `"${path.group}" in the namespace "${path.namespace}"`,
      );
    }
    return path;
  }

  #statusOf(request: IncomingMessage, error: unknown): StatusError {
    if (error instanceof StatusError) return error;
    this.#options.onError(`${request.method} ${request.url}`, error);
    return new StatusError("InternalError", error instanceof Error ? error.message : String(error), {
      cause: error,
    });
  }
}

/**
 * A client that leaves only ends what it sends, as the two streams see it; a guest that is silent would keep its
 * console taken for ever. What the client sent last still gets through.
 */
function closeAfter(websocket: WebSocket, stream: Duplex): void {
  websocket.once("close", () => {
    const timer = setTimeout(() => stream.destroy(), LAST_BYTES_MS);
    stream.once("close", () => clearTimeout(timer));
  });
}

/** undefined for an empty body. @throws StatusError BadRequest */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new StatusError("BadRequest", `the request's body exceeds ${MAX_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StatusError("BadRequest", "the request's body is no JSON", { cause });
  }
}

/** As it came: nothing in it is resolved or taken for a host. */
function pathnameOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

function tlsMaterial(certificate: KeyedCertificate, trust: FrontProxyTrust): Record<string, string> {
  return { cert: certificate.certificatePem, key: certificate.privateKeyPem, ca: trust.clientCa };
}
