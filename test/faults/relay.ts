/** TCP in front of the proxy's TLS server: here a connection can be reset or go silent, which TLS itself can't do. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What has been written reaches the peer before the RST that would overtake it in the kernel's buffers. */
const FLUSH_MS = 30;

/** One client's connection. */
export class Link {
  readonly client: Socket;
  readonly #inner: Socket;
  #isSilent = false;

  constructor(client: Socket, inner: Socket) {
    this.client = client;
    this.#inner = inner;
    // One listener for each watch that passes.
    client.setMaxListeners(0);
    client.setNoDelay(true);
    inner.setNoDelay(true);
    client.pipe(inner);
    inner.pipe(client);
    client.on("error", () => inner.destroy());
    inner.on("error", () => client.destroy());
    client.on("close", () => inner.destroy());
    inner.on("close", () => {
      // A silent connection tells the client nothing, not even that the proxy's side is gone.
      if (!this.#isSilent) client.destroy();
    });
  }

  /** Called when the client's connection has gone; at once where it has already. */
  onClose(listener: () => void): void {
    if (this.client.closed) listener();
    else this.client.once("close", listener);
  }

  get isSilent(): boolean {
    return this.#isSilent;
  }

  get address(): string {
    return this.client.remoteAddress ?? "";
  }

  /** Nothing passes any more, and nobody closes. */
  silence(): void {
    this.#isSilent = true;
    this.client.unpipe(this.#inner);
    this.#inner.unpipe(this.client);
    this.client.pause();
    this.#inner.pause();
  }

  reset(): void {
    setTimeout(() => {
      this.client.resetAndDestroy();
      this.#inner.destroy();
    }, FLUSH_MS);
  }

  destroy(): void {
    this.client.destroy();
    this.#inner.destroy();
  }
}

export class Relay {
  readonly #server: Server;
  /** By the port from which the relay dialled the TLS server: that is how a request finds its link. */
  readonly #links = new Map<number, Link>();
  /** Connections that were ever made. */
  accepted = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on `host` and relays to a port of loopback. */
  static async start(host: string, innerPort: number): Promise<Relay> {
    const server = createServer({ pauseOnConnect: true });
    const relay = new Relay(server);
    server.on("connection", (client) => {
      const inner = connect(innerPort, "127.0.0.1");
      client.on("error", () => inner.destroy());
      inner.once("error", () => client.destroy());
      inner.once("connect", () => {
        const { localPort } = inner;
        if (localPort === undefined || client.destroyed) return void inner.destroy();
        relay.accepted++;
        relay.#links.set(localPort, new Link(client, inner));
        client.once("close", () => relay.#links.delete(localPort));
      });
    });
    server.listen(0, host);
    await once(server, "listening");
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Open connections. */
  get size(): number {
    return this.#links.size;
  }

  link(innerPort: number | undefined): Link | undefined {
    return innerPort === undefined ? undefined : this.#links.get(innerPort);
  }

  /** Resets every connection, as when the load balancer in between is replaced. */
  resetAll(): void {
    for (const link of this.#links.values()) link.reset();
  }

  /** Closes the connections that went silent: their clients have given them up, or do so now. */
  endSilence(): void {
    for (const link of this.#links.values()) if (link.isSilent) link.destroy();
  }

  async close(): Promise<void> {
    for (const link of this.#links.values()) link.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
