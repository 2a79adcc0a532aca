/**
 * The aggregated API: HTTPS towards the API server's front proxy. It serves discovery and the
 * subresources of VMs and VMIs; each request is authorised by the API server under the caller's own name.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { SUBRESOURCES_GROUP, SUBRESOURCES_PORT } from "../../api/names.ts";
import type { KeyedCertificate } from "../certificates/authority.ts";
import { type Caller, callerOf, type FrontProxyTrust } from "./caller.ts";
import { isStream, refusal } from "./catalog.ts";
import { Content, type SubresourceHandlers } from "./handler.ts";
import { document, nameOf, parseSubresourcePath, type SubresourcePath } from "./path.ts";
import { CLOSE_SERVICE_RESTART, close, join, type Session } from "./session.ts";
import { StatusError, statusBody } from "./status.ts";

export interface SubresourceServerOptions {
  /** To begin with. */
  readonly certificate: KeyedCertificate;
  /** To begin with. */
  readonly trust: FrontProxyTrust;
  /** SubjectAccessReview: may the caller do `verb` on this subresource? */
  readonly authorize: (caller: Caller, verb: string, path: SubresourcePath) => Promise<boolean>;
  /** Opens what a websocket is for: console, VNC, a port. @throws StatusError */
  readonly open: (path: SubresourcePath) => Promise<Session>;
  /** The subresources that are no streams. */
  readonly handlers: SubresourceHandlers;
  readonly onError: (request: string, error: unknown) => void;
  readonly port?: number;
  readonly host?: string;
}

/** virtctl's subprotocol: the websocket's binary messages are the stream's bytes. */
export const PLAIN_PROTOCOL = "plain.kubevirt.io";
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** A freeze request is a few dozen bytes. */
const MAX_BODY_BYTES = 64 * 1024;
/** A caller of many groups has them all in the headers; Go's servers take 1 MiB. */
const MAX_HEADER_BYTES = 256 * 1024;
/** Ends the streams of an API server that vanished. */
const TCP_KEEP_ALIVE_MS = 30_000;
/** For clients to answer when this replica ends, in milliseconds. */
const FAREWELL_MS = 1_000;
const FAREWELL = {
  code: CLOSE_SERVICE_RESTART,
  reason: "this replica of virtpod's operator shuts down: connect again",
};

export class SubresourceServer {
  readonly #server: Server;
  readonly #options: SubresourceServerOptions;
  #certificate: KeyedCertificate;
  #trust: FrontProxyTrust;
  /** Upgraded ones too, which the server itself knows no more. */
  readonly #sockets = new Set<TLSSocket>();
  readonly #open = new Set<WebSocket>();
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

  /** Tells those who have a websocket open why it ends. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    const farewells = [...this.#open].map((websocket) => {
      close(websocket, FAREWELL);
      return new Promise((resolve) => websocket.once("close", resolve));
    });
    const timeUp = Promise.withResolvers<void>();
    const timer = setTimeout(timeUp.resolve, FAREWELL_MS);
    await Promise.race([Promise.all(farewells), timeUp.promise]);
    clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = document(pathnameOf(request)) ?? (await this.#handle(request));
      const content = contentOf(answer);
      response.writeHead(200, { "content-type": content.type });
      response.end(content.bytes);
    } catch (error) {
      const status = this.#statusOf(request, error);
      response.writeHead(status.code, statusHeaders(status));
      response.end(statusBody(status));
    }
  }

  /** @throws StatusError */
  async #handle(request: IncomingMessage): Promise<unknown> {
    const path = await this.#authorized(request);
    const { group } = path;
    const name = nameOf(path);
    if (isStream(group, name)) {
      throw new StatusError("BadRequest", `${name} is a websocket: the request carries no upgrade`);
    }
    const handler = Object.hasOwn(this.#options.handlers, name) ? this.#options.handlers[name] : undefined;
    if (handler === undefined || (handler.group ?? SUBRESOURCES_GROUP) !== group) throw unserved(group, name);
    if (request.method !== handler.method) {
      throw new StatusError("MethodNotAllowed", `${name} takes ${handler.method}, not ${request.method}`, {
        allow: handler.method,
      });
    }
    return handler.answer(path, await readJson(request, handler.maxBodyBytes ?? MAX_BODY_BYTES));
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {});
    try {
      const path = await this.#authorized(request);
      const name = nameOf(path);
      if (!isStream(path.group, name)) throw unserved(path.group, name);
      // Opened before the upgrade is answered, so that a refusal reaches the caller as a Status.
      const session = await this.#options.open(path);
      if (socket.destroyed) {
        discard(session);
        return;
      }
      let isUpgraded = false;
      this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
        isUpgraded = true;
        this.#open.add(websocket);
        websocket.once("close", () => this.#open.delete(websocket));
        join(websocket, session);
      });
      // A handshake that is no websocket's has been answered, and nobody will read the console.
      if (!isUpgraded) discard(session);
    } catch (error) {
      const status = this.#statusOf(request, error);
      const body = statusBody(status);
      const headers = {
        ...statusHeaders(status),
        "content-length": Buffer.byteLength(body),
        connection: "close",
      };
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.end(`HTTP/1.1 ${status.code} ${status.reason}\r\n${lines.join("")}\r\n${body}`);
    }
  }

  /** @throws StatusError NotFound, Unauthorized, Forbidden */
  async #authorized(request: IncomingMessage): Promise<SubresourcePath> {
    const parsed = parseSubresourcePath(pathnameOf(request));
    if (parsed === undefined)
      throw new StatusError("NotFound", "the server could not find the requested resource");
    const path = { ...parsed, query: queryOf(request) };
    const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject ?? {};
    const caller = callerOf(this.#trust, typeof CN === "string" ? CN : undefined, request.headersDistinct);
    if (caller === undefined) throw new StatusError("Unauthorized", "the front proxy names no caller");
    const verb = VERBS[request.method ?? ""];
    if (verb === undefined)
      throw new StatusError("MethodNotAllowed", `nothing here takes the method ${request.method}`);
    if (!(await this.#options.authorize(caller, verb, path))) {
      throw new StatusError(
        "Forbidden",
        `User "${caller.user}" cannot ${verb} resource "${nameOf(path)}" in API group ` +
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

/** Kubernetes' verbs for requests by name. */
const VERBS: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  PUT: "update",
  POST: "create",
  PATCH: "patch",
  DELETE: "delete",
};

function unserved(group: string, name: string): StatusError {
  const why = refusal(group, name);
  if (why !== undefined) return new StatusError("MethodNotAllowed", `${name}: ${why}`);
  return new StatusError("NotFound", `virtpod serves no ${name} in the API group ${group}`);
}

function contentOf(answer: unknown): Content {
  if (answer instanceof Content) return answer;
  const text = answer === undefined ? "" : JSON.stringify(answer);
  return new Content("application/json", Buffer.from(text));
}

/** RFC 9110, section 15.5.6: a 405 names the methods there are, be it none. */
function statusHeaders({ code, allow }: StatusError): Record<string, string> {
  return { "content-type": "application/json", ...(code === 405 && { allow }) };
}

/** Nobody came for it. */
function discard(session: Session): void {
  if (session.kind === "bytes") session.stream.destroy();
  else session.socket.close();
}

/** undefined for an empty body. @throws StatusError BadRequest */
async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new StatusError("BadRequest", `the request's body exceeds ${maxBytes} bytes`);
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

function queryOf(request: IncomingMessage): URLSearchParams {
  const url = request.url ?? "";
  return new URLSearchParams(url.includes("?") ? url.slice(url.indexOf("?")) : "");
}

function tlsMaterial(certificate: KeyedCertificate, trust: FrontProxyTrust): Record<string, string> {
  return { cert: certificate.certificatePem, key: certificate.privateKeyPem, ca: trust.clientCa };
}
