/**
 * The connection to the node's agent: dialled by the launcher, served with HTTP/2, dialled again whenever it ends. The
 * agent may be restarted or replaced at any time, and the guest doesn't notice.
 */
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { type Routes, type ServedConnection, serveHttp2 } from "../../transport/server.ts";
import type { Log } from "../log.ts";
import { connectSocket } from "../unix-socket.ts";

/** An agent that restarts is back within seconds; the start of a guest waits for it, so the first tries are close. */
const REDIAL = { initialMs: 20, maxMs: 5_000, resetAfterMs: 30_000 };

export interface AgentLinkOptions {
  readonly socketPath: string;
  readonly routes: Routes;
  readonly clock: Clock;
  readonly log: Log;
}

export class AgentLink {
  readonly #options: AgentLinkOptions;
  readonly #stop = new AbortController();
  #connection: ServedConnection | undefined;
  /** The last dial's failure, until a dial succeeds. */
  #failure: Error | undefined;

  constructor(options: AgentLinkOptions) {
    this.#options = options;
  }

  /** Why the agent isn't connected, if the last dial failed. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Keeps the connection until `close`. Never rejects. */
  async run(): Promise<void> {
    const { clock, log, routes, socketPath } = this.#options;
    const backoff = new Backoff({ ...REDIAL, clock });
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const socket = await connectSocket(socketPath);
        if (signal.aborted) {
          socket.destroy();
          return;
        }
        if (this.#failure !== undefined) log.info({}, "connected to the node's agent again");
        this.#failure = undefined;
        this.#connection = serveHttp2(socket, routes, {
          onHandlerError: (route, error) => log.error({ err: error }, `cannot answer ${route}`),
        });
        await this.#connection.ended;
        this.#connection = undefined;
      } catch (error) {
        // Told once, not at every try: an agent may be away for hours.
        if (this.#failure === undefined)
          log.warn({ err: error }, `cannot connect to the node's agent at ${socketPath}`);
        this.#failure = error as Error;
      }
      if (!signal.aborted) await backoff.wait(signal).catch(() => {});
    }
  }

  /** Lets answers under way arrive, for `deadlineMs` at most, and dials no more. */
  async close(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    const connection = this.#connection;
    if (connection === undefined) return;
    const deadline = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimeout(() => deadline.resolve(), deadlineMs);
    connection.close();
    await Promise.race([connection.ended, deadline.promise]);
    timer.cancel();
    connection.destroy();
  }
}
