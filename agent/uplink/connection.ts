/** One connection to one operator replica: dialled, served, and dialled again for as long as the replica is there. */
import { readFile } from "node:fs/promises";
import { connect, type TLSSocket } from "node:tls";
import type { Logger } from "pino";
import type { AgentIdentity } from "../../api/uplink-protocol.ts";
import { Backoff } from "../../lib/backoff.ts";
import { serveHttp2 } from "../../transport/server.ts";
import { type RoutesOptions, uplinkRoutes } from "./routes.ts";

/** For TCP and TLS together, in milliseconds. */
const DIAL_DEADLINE_MS = 10_000;
/** TCP tells of a vanished replica only after many minutes. */
const KEEP_ALIVE = { intervalMs: 10_000, deadlineMs: 10_000 };
/** A connection that held for ten seconds was a good one: the next failure starts from the first delay. */
const BACKOFF = { initialMs: 250, maxMs: 5_000, resetAfterMs: 10_000 };

export interface ConnectionOptions extends RoutesOptions {
  readonly port: number;
  /** What the operator's certificate must name. */
  readonly serverName: string;
  /**
   * The operator's CA. Read for each dialling, since it may appear after the agent has started and be replaced later.
   */
  readonly caPath: string;
  readonly log: Logger;
}

export class UplinkConnection {
  /** Resolves when it is over for good. It never rejects. */
  readonly ended: Promise<void>;
  readonly #address: string;
  readonly #kind: AgentIdentity["connection"];
  readonly #options: ConnectionOptions;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  #retired = false;
  #connected = false;
  /** Told once, not at every try: an operator may be away for hours. */
  #failure: string | undefined;

  constructor(address: string, kind: AgentIdentity["connection"], options: ConnectionOptions) {
    this.#address = address;
    this.#kind = kind;
    this.#options = options;
    this.#log = options.log.child({ operator: address, connection: kind });
    this.ended = this.#run();
  }

  /** The replica's address is gone: not dialled again. A connection that stands may end by itself. */
  retire(): void {
    this.#retired = true;
    if (!this.#connected) this.#abort.abort();
  }

  stop(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(BACKOFF);
    const { signal } = this.#abort;
    while (!signal.aborted && !this.#retired) {
      try {
        await this.#serve(await this.#dial());
      } catch (error) {
        if (!signal.aborted) this.#tellFailure(error);
      }
      if (!this.#retired) await backoff.wait(signal).catch(() => {});
    }
  }

  #tellFailure(error: unknown): void {
    const failure = error instanceof Error ? error.message : String(error);
    if (failure === this.#failure) return;
    this.#failure = failure;
    this.#log.warn({ err: error }, "no connection to the operator");
  }

  async #serve(socket: TLSSocket): Promise<void> {
    const { signal } = this.#abort;
    const connection = serveHttp2(socket, uplinkRoutes(this.#options, this.#kind), {
      keepAlive: KEEP_ALIVE,
      onHandlerError: (route, error) => this.#log.error({ err: error, route }, "a request failed"),
    });
    const end = () => connection.destroy();
    signal.addEventListener("abort", end, { once: true });
    this.#connected = true;
    this.#failure = undefined;
    this.#log.info("connected to the operator");
    const { cause } = await connection.ended;
    this.#connected = false;
    signal.removeEventListener("abort", end);
    this.#log.info({ err: cause }, "disconnected from the operator");
  }

  async #dial(): Promise<TLSSocket> {
    const { port, serverName, caPath } = this.#options;
    const ca = await readFile(caPath, "utf8");
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(DIAL_DEADLINE_MS)]);
    return await new Promise((resolve, reject) => {
      const socket = connect({
        host: this.#address,
        port,
        servername: serverName,
        ca,
        minVersion: "TLSv1.3",
      });
      const abandon = () => socket.destroy(new Error("no TLS connection in time", { cause: signal.reason }));
      signal.addEventListener("abort", abandon, { once: true });
      socket.once("close", () => signal.removeEventListener("abort", abandon));
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        signal.removeEventListener("abort", abandon);
        socket.off("error", reject);
        socket.setNoDelay(true);
        resolve(socket);
      });
    });
  }
}
