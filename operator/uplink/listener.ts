/** Accepts agents: TLS, then HTTP/2 towards the agent, then who it is; only then is the connection used. */
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { UPLINK_AUDIENCE, UPLINK_PORT } from "../../api/names.ts";
import { UPLINK_ROUTES } from "../../api/uplink-protocol.ts";
import { Http2Client } from "../../transport/client.ts";
import type { KeyedCertificate } from "../certificates/authority.ts";
import {
  type ExpectedAgent,
  parseIdentity,
  type TokenReviewResult,
  type VerifiedAgent,
  verifyAgent,
} from "./identity.ts";

/** A connection whose peer is known. It closes by itself when the peer can't renew its token. */
export interface AgentConnection {
  readonly agent: VerifiedAgent;
  readonly client: Http2Client;
}

export interface UplinkListenerOptions {
  readonly certificate: KeyedCertificate;
  /** `system:serviceaccount:<namespace>:virtpod-agent`. */
  readonly agentUsername: string;
  readonly reviewToken: (token: string, audience: string) => Promise<TokenReviewResult>;
  readonly onConnected: (connection: AgentConnection) => void;
  readonly onRejected: (remote: string, error: unknown) => void;
  readonly port?: number;
  readonly host?: string;
  readonly now?: () => number;
}

/** Connections that have not said who they are yet; more are refused, so that a flood can't exhaust memory. */
const MAX_UNKNOWN = 256;
const IDENTITY_DEADLINE_MS = 10_000;
const KEEP_ALIVE = { intervalMs: 5_000, deadlineMs: 5_000 };
/** The next token is asked for so long before the last one expires, in milliseconds. */
const RENEW_BEFORE_EXPIRY_MS = 5 * 60_000;
const MIN_RENEW_MS = 5_000;

export class UplinkListener {
  readonly #server: TlsServer;
  readonly #options: UplinkListenerOptions;
  readonly #expected: ExpectedAgent;
  readonly #sockets = new Set<TLSSocket>();
  readonly #now: () => number;
  #unknown = 0;

  constructor(options: UplinkListenerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#expected = { username: options.agentUsername, audience: UPLINK_AUDIENCE };
    this.#server = createServer({
      ...tlsMaterial(options.certificate),
      minVersion: "TLSv1.3",
      handshakeTimeout: IDENTITY_DEADLINE_MS,
    });
    this.#server.on("secureConnection", (socket) => void this.#welcome(socket));
    this.#server.on("tlsClientError", (error, socket) =>
      options.onRejected(socket.remoteAddress ?? "?", error),
    );
  }

  /** Resolves with the port once it listens. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port ?? UPLINK_PORT, this.#options.host ?? "::", () => {
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  }

  /** New connections use the renewed certificate; those that stand keep theirs. */
  renewCertificate(certificate: KeyedCertificate): void {
    this.#server.setSecureContext(tlsMaterial(certificate));
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #welcome(socket: TLSSocket): Promise<void> {
    const remote = socket.remoteAddress ?? "?";
    socket.on("error", () => {});
    if (this.#unknown >= MAX_UNKNOWN) {
      socket.destroy();
      this.#options.onRejected(remote, new Error(`${MAX_UNKNOWN} connections wait to say who they are`));
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const client = new Http2Client(socket, { keepAlive: KEEP_ALIVE });
    this.#unknown++;
    try {
      const agent = await this.#identify(client);
      this.#renewBeforeExpiry(client, agent, remote);
      this.#options.onConnected({ agent, client });
    } catch (error) {
      client.destroy();
      this.#options.onRejected(remote, error);
    } finally {
      this.#unknown--;
    }
  }

  async #identify(client: Http2Client): Promise<VerifiedAgent> {
    const answer = await client.request("GET", UPLINK_ROUTES.identity, { deadlineMs: IDENTITY_DEADLINE_MS });
    const presented = parseIdentity(answer);
    const review = await this.#options.reviewToken(presented.token, UPLINK_AUDIENCE);
    return verifyAgent(presented, review, this.#expected);
  }

  /** Asks for a fresh token in time; without one the connection ends with the old one's life. */
  #renewBeforeExpiry(client: Http2Client, agent: VerifiedAgent, remote: string): void {
    const lifeMs = agent.expiresAt - this.#now();
    const askInMs = Math.max(MIN_RENEW_MS, lifeMs - RENEW_BEFORE_EXPIRY_MS);
    const expiry = setTimeout(() => client.destroy(), Math.min(Math.max(0, lifeMs), 2 ** 31 - 1));
    const renewal = setTimeout(
      async () => {
        try {
          const renewed = await this.#identify(client);
          if (renewed.nodeName !== agent.nodeName)
            throw new Error(`the agent of ${agent.nodeName} turned into another`);
          clearTimeout(expiry);
          this.#renewBeforeExpiry(client, renewed, remote);
        } catch (error) {
          this.#options.onRejected(remote, error);
          client.destroy();
        }
      },
      Math.min(askInMs, 2 ** 31 - 1),
    );
    void client.ended.then(() => {
      clearTimeout(expiry);
      clearTimeout(renewal);
    });
  }
}

function tlsMaterial({ certificatePem, privateKeyPem }: KeyedCertificate): { cert: string; key: string } {
  return { cert: certificatePem, key: privateKeyPem };
}
