/** The socket of the DHCPv6 server. Everything that is decided is decided in responder.ts. */
import { createSocket, type Socket } from "node:dgram";
import { EventEmitter, once } from "node:events";
import { decodeRequest } from "./codec.ts";
import type { Lease6 } from "./lease.ts";
import { type Answer, respond } from "./responder.ts";

const SERVER_PORT = 547;
const CLIENT_PORT = 546;
/** All_DHCP_Relay_Agents_and_Servers. */
const ALL_SERVERS = "ff02::1:2";
/** Replies that the kernel has not taken yet; a guest that floods gets no more memory than this. */
const MAX_PENDING_SENDS = 64;

export class Dhcp6ServerError extends Error {
  override readonly name = "Dhcp6ServerError";
  readonly code = "DhcpServerFailed";
}

export interface Dhcp6ServerEvents {
  /** A client was told its address by a Reply: the first time and at each renewal. */
  leased: [{ readonly interfaceName: string }];
}

/**
 * Serves one lease on its bridge, which must have a link-local address. Needs no capability, but
 * net.ipv4.ip_unprivileged_port_start ≤ 547 (it is IPv6's as well).
 * @throws Dhcp6ServerError when the socket can't be bound or can't hear the bridge
 */
export async function startDhcp6Server(lease: Lease6): Promise<Dhcp6Server> {
  const server = new Dhcp6Server(lease);
  await server.listen();
  return server;
}

/** See {@link startDhcp6Server}. */
export class Dhcp6Server extends EventEmitter<Dhcp6ServerEvents> {
  readonly #lease: Lease6;
  readonly #socket: Socket = createSocket({ type: "udp6", ipv6Only: true });
  readonly #counters = new Map<string, number>();
  #pendingSends = 0;

  constructor(lease: Lease6) {
    super();
    this.#lease = lease;
  }

  /** @throws Dhcp6ServerError when the socket can't be bound or can't hear the bridge */
  async listen(): Promise<void> {
    const { link } = this.#lease;
    const socket = this.#socket;
    try {
      socket.bind({ port: SERVER_PORT, exclusive: true });
      await once(socket, "listening");
      socket.addMembership(ALL_SERVERS, `::%${link}`);
    } catch (cause) {
      socket.close();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Dhcp6ServerError(
        `listen for DHCPv6 on ${link}, port ${SERVER_PORT}: ${why}; the agent must have wired the pod's network`,
        { cause },
      );
    }
    // An ICMP error or a full queue concerns one packet, not the server.
    socket.on("error", () => this.#count("socketError"));
    socket.on("message", (bytes, { address }) => this.#receive(bytes, address));
  }

  /** How often each thing happened, one entry per kind of reply and reason for silence. */
  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counters);
  }

  /** Once. */
  close(): void {
    this.#socket.close();
  }

  #receive(bytes: Buffer, from: string): void {
    // The scope is the link that it came in on; a client speaks from its link-local address (section 18.2.1).
    const isGuest = from.startsWith("fe80:") && from.endsWith(`%${this.#lease.link}`);
    const request = decodeRequest(bytes);
    if (!isGuest || request === undefined) {
      this.#count(isGuest ? "malformed" : "otherLink");
      return;
    }
    const decision = respond(request, this.#lease);
    if ("silence" in decision) this.#count(decision.silence);
    else this.#send(decision, from);
  }

  #send({ reply, kind, leased }: Answer, to: string): void {
    if (this.#pendingSends >= MAX_PENDING_SENDS) {
      this.#count("sendQueueFull");
      return;
    }
    this.#pendingSends++;
    this.#socket.send(reply, CLIENT_PORT, to, (error) => {
      this.#pendingSends--;
      this.#count(error === null ? kind : "sendFailed");
      if (error === null && leased) this.emit("leased", { interfaceName: this.#lease.name });
    });
  }

  #count(what: string): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + 1);
  }
}
