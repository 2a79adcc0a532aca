/** The sockets of the DHCP server. Everything that is decided is decided in responder.ts. */
import { createSocket } from "node:dgram";
import { EventEmitter } from "node:events";
import { type DhcpRequest, decodeRequest } from "./codec.ts";
import { type Answer, respond } from "./responder.ts";
import { type Terms, termsOf } from "./terms.ts";
import type { DatagramSocket, DhcpServer, DhcpServerEvents, DhcpServerOptions, Lease } from "./types.ts";

const SERVER_PORT = 67;
const BROADCAST = "255.255.255.255";
/** Replies that the kernel has not taken yet; a guest that floods gets no more memory than this. */
const MAX_PENDING_SENDS = 64;

export class DhcpServerError extends Error {
  override readonly name = "DhcpServerError";
  readonly code = "DhcpServerFailed";
}

/**
 * Serves one lease per guest interface. Needs no capability, but net.ipv4.ip_unprivileged_port_start ≤ 67, and the
 * bridges must have their addresses.
 *
 * Node can bind a socket to an address but not to a device, so: one socket bound to 255.255.255.255 hears the broadcasts
 * of all bridges, which are told apart by the client's MAC; one socket per bridge, bound to the bridge's address, hears
 * the unicasts (renewals) and sends all replies, which makes broadcasts leave by that bridge (the kernel routes a
 * limited broadcast by its source). No two of these addresses overlap, so no address is shared, and no other
 * process in the pod can take the port over.
 * @throws DhcpServerError when a socket can't be bound.
 */
export async function startDhcpServer(options: DhcpServerOptions): Promise<DhcpServer> {
  const server = new UdpDhcpServer(options);
  await server.listen();
  return server;
}

interface ServedInterface {
  readonly terms: Terms;
  readonly socket: DatagramSocket;
  /** Its guest has been found to have no room for all options. */
  omitted: boolean;
}

class UdpDhcpServer extends EventEmitter<DhcpServerEvents> implements DhcpServer {
  /** By the client's MAC. */
  readonly #interfaces = new Map<string, ServedInterface>();
  readonly #broadcasts: DatagramSocket;
  readonly #counters = new Map<string, number>();
  #pendingSends = 0;
  #closing: Promise<void> | undefined;

  constructor({ leases, createSocket = newSocket }: DhcpServerOptions) {
    super();
    this.#broadcasts = createSocket();
    for (const lease of leases) {
      this.#interfaces.set(lease.macAddress, {
        terms: termsOf(lease),
        socket: createSocket(),
        omitted: false,
      });
    }
  }

  async listen(): Promise<void> {
    try {
      await this.#bind(this.#broadcasts, BROADCAST);
      for (const { terms, socket } of this.#interfaces.values()) {
        await this.#bind(socket, terms.lease.serverAddress);
        socket.setBroadcast(true);
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counters);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeSockets();
    return this.#closing;
  }

  async #closeSockets(): Promise<void> {
    const sockets = [this.#broadcasts, ...[...this.#interfaces.values()].map(({ socket }) => socket)];
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  }

  #bind(socket: DatagramSocket, address: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (cause: Error): void => {
        reject(
          new DhcpServerError(
            `listen for DHCP on ${address}:${SERVER_PORT}: ${cause.message}; ` +
              "the agent must have wired the pod's network, and nothing else may use the port",
            { cause },
          ),
        );
      };
      socket.once("error", failed);
      socket.bind({ address, port: SERVER_PORT, exclusive: true }, () => {
        socket.off("error", failed);
        // An ICMP error or a full queue concerns one packet, not the server.
        socket.on("error", () => this.#count("socketError"));
        socket.on("message", (bytes) => this.#receive(bytes));
        resolve();
      });
    });
  }

  #receive(bytes: Uint8Array): void {
    const decoded = decodeRequest(bytes);
    if (decoded.ok) this.#serve(decoded.request);
    else this.#count(decoded.reason);
  }

  #serve(request: DhcpRequest): void {
    const own = this.#interfaces.get(request.macAddress);
    if (own === undefined) {
      this.#count("foreignClient");
      return;
    }
    const decision = respond(request, own.terms);
    if (!decision.silent) {
      this.#send(decision.answer, own);
      return;
    }
    this.#count(decision.reason);
    if (decision.reason === "declined") this.emit("declined", leasedEvent(own.terms.lease));
  }

  #send(answer: Answer, own: ServedInterface): void {
    if (this.#closing !== undefined) return;
    if (this.#pendingSends >= MAX_PENDING_SENDS) {
      this.#count("sendQueueFull");
      return;
    }
    this.#pendingSends++;
    own.socket.send(answer.message.bytes, answer.port, answer.destination, (error) => {
      this.#pendingSends--;
      if (error === null) this.#sent(answer, own);
      else this.#count("sendFailed");
    });
  }

  #sent({ kind, leased, message }: Answer, own: ServedInterface): void {
    const { lease } = own.terms;
    this.#count(kind);
    if (message.omitted.length > 0) {
      this.#count("optionsOmitted");
      if (!own.omitted) this.emit("omitted", { interfaceName: lease.name, options: message.omitted });
      own.omitted = true;
    }
    if (leased) this.emit("leased", leasedEvent(lease));
  }

  #count(what: string): void {
    this.#counters.set(what, (this.#counters.get(what) ?? 0) + 1);
  }
}

function leasedEvent(lease: Lease): DhcpServerEvents["leased"][0] {
  return { interfaceName: lease.name, macAddress: lease.macAddress, address: lease.address };
}

/** Every destination is an address, so there is nothing to look up, and no turn of the event loop to spend on it. */
function newSocket(): DatagramSocket {
  return createSocket({
    type: "udp4",
    lookup: (address, _options, callback) => callback(null, address, 4),
  });
}
