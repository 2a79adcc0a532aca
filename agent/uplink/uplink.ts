/** Keeps the agent connected to every operator replica. */
import type { AgentIdentity } from "../../api/uplink-protocol.ts";
import { type ConnectionOptions, UplinkConnection } from "./connection.ts";
import { planTargets } from "./targets.ts";

/**
 * How often the operator's name is resolved again: DNS tells of no change, so this is how long a new replica waits
 * for its agents at most.
 */
export const RESOLVE_INTERVAL_MS = 10_000;

/** Two of each, so that a flood of console or VNC bytes can't hold a status back. */
const KINDS: readonly AgentIdentity["connection"][] = ["status", "streams"];

export interface UplinkOptions extends ConnectionOptions {
  /** The addresses behind the operator's headless service. */
  readonly resolve: () => Promise<readonly string[]>;
  /** RESOLVE_INTERVAL_MS unless told. */
  readonly resolveIntervalMs?: number;
}

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #connections = KINDS.map((kind) => ({ kind, byAddress: new Map<string, UplinkConnection>() }));
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: UplinkOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#round();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const connections = this.#connections.flatMap(({ byAddress }) => [...byAddress.values()]);
    for (const connection of connections) connection.stop();
    await Promise.all(connections.map(({ ended }) => ended));
  }

  async #round(): Promise<void> {
    const resolved = await this.#options.resolve().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, "the operator's name can't be resolved");
      return undefined;
    });
    if (this.#stopped) return;
    for (const { kind, byAddress } of this.#connections) {
      const plan = planTargets(new Set(byAddress.keys()), resolved);
      for (const address of plan.retire) byAddress.get(address)?.retire();
      for (const address of plan.dial) {
        const connection = new UplinkConnection(address, kind, this.#options);
        byAddress.set(address, connection);
        void connection.ended.then(() => byAddress.delete(address));
      }
    }
    this.#timer = setTimeout(() => this.start(), this.#options.resolveIntervalMs ?? RESOLVE_INTERVAL_MS);
  }
}
