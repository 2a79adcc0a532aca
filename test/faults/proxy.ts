/**
 * A reverse proxy in front of a real API server (TLS; HTTP/2, or HTTP/1.1 for who asks for it) that can do what
 * networks, load balancers and API servers do on a bad day. It has no credentials: each client's own go through.
 */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createSecureServer, type Http2ServerRequest, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { epochOf, hideVersions, realVersion, showVersions } from "./epoch.ts";
import { type Exchange, isWrite, parseExchange } from "./exchange.ts";
import { type Fault, status as statusAnswer, type WatchEvent, type WatchProgress } from "./fault.ts";
import { Journal } from "./journal.ts";
import { listObjects } from "./list.ts";
import { type Link, Relay } from "./relay.ts";
import { answer, cut, parsed, type Response, rewriteJson } from "./responses.ts";
import { TimeTravel } from "./time-travel.ts";
import { readAll, Upstream, type UpstreamOptions, type UpstreamReply, watchLines } from "./upstream.ts";
import { type Decision, WatchStream } from "./watch-stream.ts";

export interface ProxyOptions extends UpstreamOptions {
  /** Address to listen on. */
  readonly host: string;
  /** PEM; made out to `host`. */
  readonly certificate: { readonly cert: string; readonly key: string };
}

type Request = IncomingMessage | Http2ServerRequest;

/** 1.4 MB on each of a few watches at once. */
const MAX_SESSION_MB = 256;

/** One request on its way. */
interface Call {
  readonly exchange: Exchange;
  readonly sent: Buffer | undefined;
  readonly request: Request;
  readonly response: Response;
  readonly link: Link;
}

export class FaultProxy {
  readonly journal = new Journal();
  readonly timeTravel: TimeTravel;
  readonly #options: ProxyOptions;
  readonly #upstream: Upstream;
  readonly #server;
  readonly #watches = new Set<WatchStream>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Armed faults, each with what resolves when it is lifted. */
  readonly #armed = new Map<Fault, PromiseWithResolvers<void>>();
  readonly #fired = new Map<Fault, number>();
  #relay: Relay | undefined;
  #epoch = 0;
  /** Places of earlier epochs are gone. */
  #compactedEpoch = 0;

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#upstream = new Upstream(options);
    this.timeTravel = new TimeTravel(this.#upstream);
    this.#server = createSecureServer(
      { ...options.certificate, allowHTTP1: true, maxSessionMemory: MAX_SESSION_MB },
      (request, response) => void this.#serve(request, response as unknown as Response),
    );
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
    this.#server.on("sessionError", () => {});
    this.#server.on("tlsClientError", () => {});
  }

  static async start(options: ProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    const { port } = proxy.#server.address() as AddressInfo;
    proxy.#relay = await Relay.start(options.host, port);
    return proxy;
  }

  get url(): string {
    return `https://${this.#options.host}:${this.#started.port}`;
  }

  /** TCP connections that clients hold open. */
  get connections(): number {
    return this.#started.size;
  }

  /** TCP connections that clients ever made. */
  get accepted(): number {
    return this.#started.accepted;
  }

  /** Watches that were ever opened. */
  opened = 0;

  /** Watches that are open, as their requests. */
  get watches(): readonly Exchange[] {
    return [...this.#watches].map(({ exchange }) => exchange);
  }

  /** Lets a fault strike from now on. Several may be armed; the first that has something to say is heard. */
  async arm(fault: Fault): Promise<void> {
    this.#armed.set(fault, Promise.withResolvers());
    if (fault.onArm === "endWatches") await this.endWatches();
    if (fault.onArm === "expireWatches") await this.expireWatches();
  }

  /** How often a fault has struck, whether it is still armed or not. */
  fired(fault: Fault): number {
    return this.#fired.get(fault) ?? 0;
  }

  /** Ends a fault. @returns how often it struck */
  async lift(fault: Fault): Promise<number> {
    const fired = this.fired(fault);
    this.#armed.get(fault)?.resolve();
    if (!this.#armed.delete(fault)) return fired;
    this.#started.endSilence();
    if (fault.onLift === "endWatches") await this.endWatches();
    return fired;
  }

  async endWatches(): Promise<void> {
    await Promise.all([...this.#watches].map((watch) => watch.end()));
  }

  async expireWatches(): Promise<void> {
    await Promise.all([...this.#watches].map((watch) => watch.expire()));
  }

  resetConnections(): void {
    this.#started.resetAll();
  }

  /** GOAWAY on every HTTP/2 connection, as API servers send it to spread their clients; what is open may finish. */
  drainConnections(): void {
    for (const session of this.#sessions) session.close();
  }

  /**
   * Forces a resync: every object that a watch covers is shown anew, as MODIFIED with a higher resourceVersion and
   * otherwise unchanged. A client that compares versions has to look at each of them again.
   * @returns how many events that made
   */
  async resync(): Promise<number> {
    this.#epoch++;
    const told = await Promise.all([...this.#watches].map((watch) => this.#replay(watch)));
    return told.reduce((sum, count) => sum + count, 0);
  }

  /** The cluster as after a restore with `--bump-revision --mark-compacted`: versions leap, old places are gone. */
  async restoreFromBackup(): Promise<void> {
    this.#epoch++;
    this.#compactedEpoch = this.#epoch;
    await this.expireWatches();
  }

  async close(): Promise<void> {
    await this.#relay?.close();
    this.#server.close();
    this.#upstream.close();
  }

  get #started(): Relay {
    if (this.#relay === undefined) throw new Error("the proxy was not started");
    return this.#relay;
  }

  async #serve(request: Request, response: Response): Promise<void> {
    response.on("error", () => {});
    const link = this.#linkOf(request);
    if (link === undefined) return cut(response);
    try {
      const sent = request.method === "GET" ? undefined : await readAll(request as AsyncIterable<Buffer>);
      const exchange = parseExchange(request.method ?? "", request.url ?? "", parsed(sent), link.address);
      await this.#exchange({ exchange, sent, request, response, link });
    } catch (error) {
      if (response.headersSent) cut(response);
      else answer(response, statusAnswer(502, "BadGateway", String(error)));
    }
  }

  #linkOf(request: Request): Link | undefined {
    const socket = "stream" in request ? request.stream.session?.socket : request.socket;
    return this.#started.link(socket?.remotePort);
  }

  async #exchange(call: Call): Promise<void> {
    const { exchange, sent, request, response, link } = call;
    const decided = this.#decide((fault) => fault.request?.(exchange, Date.now()));
    decided?.fired();
    switch (decided?.action.do) {
      case "answer":
        return answer(response, decided.action.answer);
      case "silence":
        return link.silence();
      case "ignore":
        return;
      case "hold":
        await this.#armed.get(decided.fault)?.promise;
    }
    const query = new URLSearchParams(exchange.query);
    for (const [name, value] of Object.entries(
      decided?.action.do === "rewrite" ? decided.action.query : {},
    )) {
      if (value === null) query.delete(name);
      else query.set(name, value);
    }
    const version = query.get("resourceVersion") ?? "";
    const isFromBefore = epochOf(version) < this.#compactedEpoch && Number(version) > 0;
    if (exchange.verb === "watch" && isFromBefore) {
      return answer(response, statusAnswer(410, "Expired", `too old resource version: ${version}`));
    }
    if (version !== "") query.set("resourceVersion", realVersion(version));
    const path = `${exchange.path}${query.size === 0 ? "" : `?${query}`}`;
    if (exchange.verb === "watch") return this.#watch({ ...call, exchange: { ...exchange, query } }, path);

    const hidden = sent === undefined || this.#epoch === 0 ? sent : rewriteJson(sent, hideVersions);
    const sentMs = Date.now();
    const reply = await this.#upstream.send(request.method ?? "", path, request.headers, hidden);
    this.#reply(call, reply, sentMs);
  }

  #reply({ exchange, response, link }: Call, reply: UpstreamReply, sentMs: number): void {
    const { status, headers, body } = reply;
    // The decision comes first, so that who listens to the journal finds the answer kept back already.
    const decided = this.#decide((fault) => fault.reply?.(exchange, status));
    const write = isWrite(exchange)
      ? this.journal.add({ exchange, status, answer: parsed(body), sentMs, answeredMs: Date.now() })
      : undefined;
    decided?.fired();
    if (decided?.action.do === "withhold") return;
    if (decided?.action.do === "lose") {
      if (decided.action.how === "connection") link.reset();
      else cut(response);
      return;
    }
    const shown = this.#epoch === 0 ? body : rewriteJson(body, (value) => showVersions(value, this.#epoch));
    response.writeHead(status, headers);
    response.end(shown, () => {
      if (write !== undefined) this.journal.emit("told", write);
    });
  }

  async #watch(call: Call, path: string): Promise<void> {
    const { exchange, request, response, link } = call;
    const watch = new WatchStream({
      exchange,
      response,
      link,
      authorization: request.headers.authorization,
      epoch: () => this.#epoch,
      decide: (event, progress) => this.#decideEvent(exchange, event, progress),
    });
    let events: AsyncIterable<WatchEvent>;
    if (this.timeTravel.covers(exchange)) {
      events = this.timeTravel.events(exchange, request.headers, watch.ended);
    } else {
      const live = await this.#upstream.open("GET", path, request.headers, undefined, watch.ended);
      if (live.statusCode !== 200) {
        const headers = { "content-type": live.headers["content-type"] ?? "application/json" };
        const body = await readAll(live);
        return this.#reply(call, { status: live.statusCode ?? 502, headers, body }, Date.now());
      }
      events = watchLines(live);
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    this.#watches.add(watch);
    this.opened++;
    try {
      for await (const event of events) await watch.receive(event);
      await watch.end();
    } catch (error) {
      if (!watch.ended.aborted) throw error;
    } finally {
      this.#watches.delete(watch);
    }
  }

  /** Shows every object that a watch covers once more. */
  async #replay(watch: WatchStream): Promise<number> {
    const { exchange, authorization } = watch;
    const objects = await listObjects(this.#upstream, exchange, { authorization });
    for (const object of objects) await watch.inject({ type: "MODIFIED", object });
    return objects.length;
  }

  /** What the first armed fault that has something to say decides. */
  #decide<A>(
    ask: (fault: Fault) => A | undefined,
  ): { action: A; fault: Fault; fired: () => void } | undefined {
    for (const fault of this.#armed.keys()) {
      const action = ask(fault);
      const fired = () => void this.#fired.set(fault, this.fired(fault) + 1);
      if (action !== undefined) return { action, fault, fired };
    }
    return undefined;
  }

  #decideEvent(exchange: Exchange, event: WatchEvent, progress: WatchProgress): Decision | undefined {
    const decided = this.#decide((fault) => fault.event?.(exchange, event, progress));
    if (decided === undefined) return undefined;
    const { action: steps, fault, fired } = decided;
    return { steps, fired, isArmed: () => this.#armed.has(fault) };
  }
}
