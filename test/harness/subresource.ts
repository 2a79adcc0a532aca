/** The aggregated API through the real API server: requests and websockets, as oneself or as somebody else. */

import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { WebSocket } from "ws";
import { type Cluster, clusterOf } from "../../cli/cluster.ts";
import { kubeconfigPath } from "./cluster.ts";

const API = "/apis/subresources.kubevirt.io/v1";
const DEADLINE_MS = 30_000;

export interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
  /** The sentence of a Status; the whole text otherwise. */
  readonly text: string;
}

/** How a websocket ended. */
export interface Ending {
  readonly code: number;
  readonly reason: string;
}

/** A websocket under virtctl's protocol, with all that came over it. */
export class Session {
  readonly websocket: WebSocket;
  readonly #closed: Promise<Ending>;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #notify = () => {};

  constructor(websocket: WebSocket) {
    this.websocket = websocket;
    websocket.on("message", this.#keep);
    websocket.on("error", () => {});
    this.#closed = new Promise((resolve) => {
      websocket.once("close", (code, reason) => {
        this.#notify();
        resolve({ code, reason: reason.toString("utf8") });
      });
    });
  }

  readonly #keep = (data: Buffer) => {
    this.#chunks.push(data);
    this.#length += data.length;
    this.#notify();
  };

  /** How it ended. @throws Error when it is still open after the time */
  async closed(timeoutMs = 60_000): Promise<Ending> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const tell = () => reject(new Error(`the session was still open after ${timeoutMs} ms`));
      timer = setTimeout(tell, timeoutMs);
    });
    try {
      return await Promise.race([this.#closed, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What comes from now on is not kept. */
  forget(): void {
    this.websocket.off("message", this.#keep);
    this.#chunks.length = 0;
    this.#length = 0;
  }

  get received(): Buffer {
    const all = Buffer.concat(this.#chunks, this.#length);
    this.#chunks.splice(0, this.#chunks.length, all);
    return all;
  }

  send(data: string | Buffer): void {
    this.websocket.send(Buffer.from(data));
  }

  /** Resolves with the match. @throws Error when it hasn't come in time, or the session has ended before */
  async expect(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpMatchArray> {
    const deadline = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const text = this.received.toString("utf8");
      const match = text.match(pattern);
      if (match !== null) return match;
      if (deadline.aborted || this.websocket.readyState !== WebSocket.OPEN) {
        const state = deadline.aborted ? `in ${timeoutMs} ms` : "before the session ended";
        throw new Error(`${pattern} was not seen ${state}, but: ${text.slice(-500)}`);
      }
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}

/** The API as one user sees it. */
export class Subresources {
  readonly #namespace: string;
  readonly #cluster: Cluster;
  readonly #headers: Readonly<Record<string, string>>;

  /**
   * @param as a user to impersonate; oneself unless told
   * @param headers sent besides
   */
  constructor(namespace: string, as?: string, headers: Readonly<Record<string, string>> = {}) {
    this.#namespace = namespace;
    this.#headers = { ...headers, ...(as !== undefined && { "Impersonate-User": as }) };
    this.#cluster = clusterOf({ kubeconfig: kubeconfigPath() });
  }

  /** @param path below the namespace, such as `virtualmachines/tiny/start` */
  ask(method: "GET" | "PUT", path: string, body?: object): Promise<Answer> {
    return this.askAt(method, `${API}/namespaces/${this.#namespace}/${path}`, body);
  }

  async askAt(method: "GET" | "PUT", path: string, body?: object): Promise<Answer> {
    const { headers, ...options } = await this.#options();
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const type = { "content-type": "application/json" };
      request(new URL(path, this.#cluster.server), {
        ...options,
        method,
        signal,
        headers: { ...headers, ...type },
      })
        .once("response", resolve)
        .once("error", reject)
        .end(body === undefined ? undefined : JSON.stringify(body));
    });
    return answerOf(response);
  }

  /** @returns the refusal where it isn't upgraded */
  async open(path: string): Promise<Session | Answer> {
    const { headers, ...options } = await this.#options();
    const url = new URL(`${API}/namespaces/${this.#namespace}/${path}`, this.#cluster.server);
    url.protocol = "wss:";
    const websocket = new WebSocket(url, "plain.kubevirt.io", {
      ...options,
      headers,
      perMessageDeflate: false,
      handshakeTimeout: DEADLINE_MS,
    });
    const session = new Session(websocket);
    return new Promise((resolve, reject) => {
      websocket.once("open", () => resolve(session));
      websocket.once("error", reject);
      websocket.once("unexpected-response", (_request, response) => resolve(answerOf(response)));
    });
  }

  /** @throws Error when it is refused */
  async session(path: string): Promise<Session> {
    const opened = await this.open(path);
    if (opened instanceof Session) return opened;
    throw new Error(`${path} was refused with ${opened.status}: ${opened.text}`);
  }

  async #options() {
    const { headers, ...options } = await this.#cluster.credentials();
    return { ...options, headers: { ...(headers as Record<string, string>), ...this.#headers } };
  }
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const text = bytes.toString("utf8");
  return { status: response.statusCode ?? 0, bytes, text: sentenceOf(text) ?? text };
}

function sentenceOf(text: string): string | undefined {
  try {
    const { kind, message } = JSON.parse(text) as { kind?: unknown; message?: unknown };
    return kind === "Status" && typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
