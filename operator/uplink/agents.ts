/** The agents that are connected to this replica, by node; the newest connection of a kind wins. */
import { EventEmitter } from "node:events";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Http2Client } from "../../transport/client.ts";
import { OperatorError } from "../errors.ts";
import type { AgentConnection } from "./listener.ts";

interface AgentsEvents {
  /** A status connection was made; earlier ones of the node are closed. */
  status: [nodeName: string, client: Http2Client];
  /** The node's last status connection ended. */
  lost: [nodeName: string];
  /** A connection for consoles and requests was made. */
  streams: [nodeName: string];
}

/** A replica that has just started is found by its agents when they resolve its name again: every 10 s. */
const DISCOVERY_MS = 15_000;

export class Agents extends EventEmitter<AgentsEvents> {
  readonly #status = new Map<string, Http2Client>();
  readonly #streams = new Map<string, Http2Client>();
  readonly #clock: Clock;
  readonly #startedAt: number;

  constructor(clock: Clock = systemClock) {
    super();
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
    // Each request that waits listens by itself.
    this.setMaxListeners(0);
  }

  add({ agent, client }: AgentConnection): void {
    const connections = agent.connection === "status" ? this.#status : this.#streams;
    const earlier = connections.get(agent.nodeName);
    connections.set(agent.nodeName, client);
    // Consoles on an earlier connection may go on; a second stream of status could only tell what is out of date.
    if (connections === this.#status) earlier?.destroy();
    else earlier?.close();
    void client.ended.then(() => {
      if (connections.get(agent.nodeName) !== client) return;
      connections.delete(agent.nodeName);
      if (connections === this.#status) this.emit("lost", agent.nodeName);
    });
    this.emit(agent.connection, agent.nodeName, client);
  }

  /** Nodes with a status connection, and that connection. */
  statusConnections(): ReadonlyMap<string, Http2Client> {
    return this.#status;
  }

  isConnected(nodeName: string): boolean {
    return this.#status.has(nodeName);
  }

  /**
   * The connection for consoles and requests towards launchers on a node.
   * @throws OperatorError AgentNotConnected
   */
  streams(nodeName: string): Http2Client {
    const client = this.#streams.get(nodeName);
    if (client?.isOpen) return client;
    throw new OperatorError(
      "AgentNotConnected",
      `the agent on node ${nodeName} is not connected to this operator; look at the virtpod-agent pod on that node`,
    );
  }

  /**
   * As `streams`, but of a replica that has just started: an agent that is on its way is waited for.
   * @throws OperatorError AgentNotConnected
   */
  async discoveredStreams(nodeName: string): Promise<Http2Client> {
    const leftMs = this.#startedAt + DISCOVERY_MS - this.#clock.monotonic();
    if (leftMs > 0 && this.#streams.get(nodeName)?.isOpen !== true) {
      await new Promise<void>((resolve) => {
        const settle = () => {
          timer.cancel();
          this.off("streams", look);
          resolve();
        };
        const look = (connected: string) => {
          if (connected === nodeName) settle();
        };
        const timer = this.#clock.setTimeout(settle, leftMs);
        this.on("streams", look);
      });
    }
    return this.streams(nodeName);
  }

  close(): void {
    for (const client of [...this.#status.values(), ...this.#streams.values()]) client.destroy();
  }
}
