/** An agent as the uplink's protocol describes it, in memory: tells of its node and of the launchers it is given. */
import { duplexPair } from "node:stream";
import type { LauncherPhase, LauncherStatus } from "../../api/launcher-protocol.ts";
import type { AgentStatus } from "../../api/uplink-protocol.ts";
import { Http2Client } from "../../transport/client.ts";
import { type ServedConnection, serveHttp2 } from "../../transport/server.ts";
import type { Agents } from "../uplink/agents.ts";

export const NODE_NAME = "node-1";
const LAUNCHER_STARTED = "2026-01-01T00:00:00.000Z";

export class AgentDouble {
  readonly #launchers = new Map<string, LauncherStatus>();
  readonly #streams = new Set<Stream>();
  readonly #connections = new Set<ServedConnection>();

  /** Connects to an operator, as after each restart of one: the whole state is told anew. */
  dial(agents: Agents): void {
    const [operatorSide, agentSide] = duplexPair();
    const served = serveHttp2(agentSide, {
      "GET /v1/status": (request) => request.replyLines(this.#stream().lines()),
      "PUT /v1/launchers": async (request) => {
        await request.json();
        request.reply(204);
      },
    });
    this.#connections.add(served);
    // A pair in memory tells neither side of the other's end.
    void served.ended.then(() => {
      operatorSide.destroy();
      this.#connections.delete(served);
    });
    const agent = { nodeName: NODE_NAME, connection: "status", expiresAt: Number.MAX_SAFE_INTEGER } as const;
    agents.add({ agent, client: new Http2Client(operatorSide) });
  }

  tell(podUid: string, phase: LauncherPhase, over: Partial<LauncherStatus> = {}): void {
    const iface = { name: "default", macAddress: "02:00:00:00:00:01", podInterfaceName: "eth0" };
    const status: LauncherStatus = {
      phase,
      interfaces: [{ ...iface, ipAddresses: ["10.244.0.7"], queueCount: 1, leased: true }],
      timeline: { launcherStarted: LAUNCHER_STARTED },
      ...(phase === "preparing" ? {} : { machineType: "pc-q35-10.0" }),
      ...over,
    };
    this.#launchers.set(podUid, status);
    for (const stream of this.#streams) stream.push({ type: "launcher", podUid, status });
  }

  close(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  #stream(): Stream {
    const stream = new Stream(() => this.#streams.delete(stream));
    this.#streams.add(stream);
    stream.push({ type: "node", node: { kvm: { usable: true, reason: "" }, agentVersion: "test" } });
    for (const [podUid, status] of this.#launchers) stream.push({ type: "launcher", podUid, status });
    stream.push({ type: "synced" });
    return stream;
  }
}

class Stream {
  readonly #queue: AgentStatus[] = [];
  readonly #onEnd: () => void;
  #wake = () => {};

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(line: AgentStatus): void {
    this.#queue.push(line);
    this.#wake();
  }

  async *lines(): AsyncGenerator<AgentStatus> {
    try {
      for (;;) {
        const line = this.#queue.shift();
        if (line !== undefined) yield line;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.#onEnd();
    }
  }
}
