/**
 * The guest's listed TCP ports on the pod's own 127.0.0.1, where `kubectl port-forward` connects to. A guest on the
 * bridge has the pod's address, but the pod's namespace has no loopback that leads to it; behind masquerade nftables
 * do this.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../lib/clock.ts";
import { describeError } from "../errors.ts";
import type { Log } from "../log.ts";

const LOOPBACK = "127.0.0.1";
/** As long as a person at a terminal waits; a guest that is down answers nothing. */
const CONNECT_DEADLINE_MS = 10_000;
/** Of one port; a pod's loopback is open to nobody but its node. */
const MAX_CONNECTIONS = 64;

export interface GuestPort {
  /** TCP. */
  readonly port: number;
  /** Where the guest has it. */
  readonly guestAddress: string;
  /** From where the guest can be reached: the launcher's address on the guest's bridge. */
  readonly ownAddress: string;
}

export interface LoopbackPortsOptions {
  readonly clock: Clock;
  readonly log: Log;
}

export class LoopbackPorts {
  readonly #options: LoopbackPortsOptions;
  readonly #servers: Server[] = [];

  constructor(options: LoopbackPortsOptions) {
    this.#options = options;
  }

  /** A port that can't be had is told in the log: the guest runs without it. Never rejects. */
  async listen(ports: readonly GuestPort[]): Promise<void> {
    await Promise.all(ports.map((port) => this.#listen(port)));
  }

  /** Connections that stand go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }

  async #listen(guest: GuestPort): Promise<void> {
    const { log } = this.#options;
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client, guest));
    server.maxConnections = MAX_CONNECTIONS;
    this.#servers.push(server);
    try {
      server.listen(guest.port, LOOPBACK);
      await once(server, "listening");
      server.on("error", (error) => log.warn({ err: error, port: guest.port }, "a loopback port failed"));
    } catch (error) {
      log.warn(
        { port: guest.port, reason: describeError(error).message },
        "the pod's 127.0.0.1 can't have this port of the guest's; kubectl port-forward won't reach it",
      );
    }
  }

  #join(client: Socket, { port, guestAddress, ownAddress }: GuestPort): void {
    const guest = connect({ host: guestAddress, port, localAddress: ownAddress, allowHalfOpen: true });
    const deadline = this.#options.clock.setTimeout(() => guest.destroy(), CONNECT_DEADLINE_MS);
    guest.once("connect", () => deadline.cancel());
    for (const [from, to] of [
      [client, guest],
      [guest, client],
    ] as const) {
      from.on("error", () => to.resetAndDestroy());
      from.once("close", () => {
        deadline.cancel();
        to.destroySoon();
      });
      from.pipe(to);
    }
  }
}
