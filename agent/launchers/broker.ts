/** The agent's unix socket: takes the launchers' connections, knows each by its pod, and holds one session per pod. */
import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { WiredPath } from "../../api/network-path.ts";
import type {
  AgentSettings,
  AnnouncedLauncher,
  AnnouncementAnswer,
  LauncherAnnouncement,
} from "../../api/uplink-protocol.ts";
import type { Http2Client } from "../../transport/client.ts";
import { AgentError } from "../errors.ts";
import { peerCredentials } from "../peer/credentials.ts";
import { identifyPeer, type Peer } from "../peer/identity.ts";
import { ProcessHandle } from "../peer/process.ts";
import { Attempts } from "./attempts.ts";
import { Refusals } from "./refusals.ts";
import { LauncherSession, type SessionContext } from "./session.ts";

/** Twice what a kubelet runs by default (110 pods), twice over for containers that restart. */
const MAX_CONNECTIONS = 440;
/** A new container may dial before the connection of the one before it is seen to be closed. */
const MAX_CONNECTIONS_PER_POD = 2;

export interface BrokerOptions extends Omit<SessionContext, "refusals"> {
  readonly socketPath: string;
  /** namespaceId() of network namespaces that no launcher may be in: the node's and the agent's. */
  readonly forbiddenNamespaces: ReadonlySet<string>;
  readonly forgetOtherNetworks: (
    isKept: (podUid: string) => boolean,
    stateDirectory: string,
  ) => Promise<void>;
  /** The set in force, for whoever else acts on it. Its answer is the announcement's. */
  readonly announced: (
    launchers: readonly AnnouncedLauncher[],
    settings: AgentSettings | undefined,
  ) => AnnouncementAnswer;
}

export class Broker {
  readonly #options: BrokerOptions;
  readonly #server: Server;
  /** Per pod, the newest last; each waits for the end of the one before it. */
  readonly #sessions = new Map<string, LauncherSession[]>();
  /** Launchers that were withdrawn while they lived, by pod. */
  readonly #withdrawn = new Map<string, ProcessHandle>();
  readonly #attempts = new Attempts();
  readonly #refusals: Refusals;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.log);
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("drop", () =>
      this.#refusals.add("TooManyConnections", `${MAX_CONNECTIONS} connections are open already`),
    );
  }

  /** Callers that were turned away since the start, by the reason's code. */
  get refusals(): Readonly<Record<string, number>> {
    return this.#refusals.counts;
  }

  /** Connecting needs write permission on the socket (unix(7)): the mount in the pods is read-only, its mode is not. */
  async start(): Promise<void> {
    const { socketPath } = this.#options;
    await mkdir(dirname(socketPath), { recursive: true });
    // Whatever the umask says: the launchers' user must get through.
    await chmod(dirname(socketPath), 0o755);
    await rm(socketPath, { force: true });
    this.#server.listen({ path: socketPath, readableAll: true, writableAll: true });
    await once(this.#server, "listening");
    this.#server.on("error", (error) =>
      this.#options.log.error({ err: error }, "the launchers' socket failed"),
    );
  }

  /** Removes the socket and ends every session; the guests are not touched. */
  async stop(): Promise<void> {
    this.#server.close();
    const sessions = [...this.#sessions.values()].flat();
    for (const session of sessions) session.end();
    await Promise.all(sessions.map(({ ended }) => ended));
    for (const launcher of this.#withdrawn.values()) launcher.close();
    this.#withdrawn.clear();
    this.#refusals.close();
  }

  /** For requests to the launcher of a pod; undefined while it is not attached. */
  client(podUid: string): Http2Client | undefined {
    return this.#sessions.get(podUid)?.at(-1)?.client;
  }

  /**
   * The network of a pod whose launcher is attached; undefined where none is.
   * @throws NetworkError
   */
  inspectNetwork(podUid: string): Promise<WiredPath> | undefined {
    const session = this.#sessions.get(podUid)?.at(-1);
    return session?.client === undefined ? undefined : session.inspectNetwork();
  }

  /**
   * Serves these launchers and no others from now on. Whoever left the set loses its connection, and its saved network
   * once it has ended: an operator whose view is old may leave out a launcher that runs, and announce it again later.
   * @throws AgentError StaleTerm
   */
  async announce(announcement: LauncherAnnouncement): Promise<AnnouncementAnswer> {
    const { announcements, registry, forgetOtherNetworks, networkState, log } = this.#options;
    const removed = await announcements.replace(announcement);
    for (const podUid of removed) {
      const sessions = this.#sessions.get(podUid) ?? [];
      this.#hold(podUid, sessions.at(-1));
      for (const session of sessions) session.end();
      await Promise.all(sessions.map(({ ended }) => ended));
      log.info({ podUid }, "launcher withdrawn");
    }
    this.#letGo((podUid) => announcements.get(podUid) !== undefined);
    const isKept = (podUid: string) => announcements.get(podUid) !== undefined || this.#withdrawn.has(podUid);
    // By what is there, not by what has just left: an agent that was killed in between leaves no gap.
    await forgetOtherNetworks(isKept, networkState);
    registry.retain(announcements.podUids);
    return this.#options.announced(announcements.launchers, announcements.settings);
  }

  #hold(podUid: string, session: LauncherSession | undefined): void {
    if (session === undefined) return;
    try {
      this.#withdrawn.set(podUid, new ProcessHandle(session.pid));
    } catch (error) {
      // It has ended: that is why it was withdrawn.
      if (!(error instanceof AgentError)) throw error;
    }
  }

  /** Of the withdrawn, those that are announced again or have ended. */
  #letGo(isAnnounced: (podUid: string) => boolean): void {
    for (const [podUid, launcher] of this.#withdrawn) {
      if (launcher.isAlive && !isAnnounced(podUid)) continue;
      launcher.close();
      this.#withdrawn.delete(podUid);
    }
  }

  #accept(socket: Socket): void {
    // Until the session takes over, an error only means that the caller left.
    socket.on("error", () => socket.destroy());
    try {
      const { pid } = peerCredentials(socket);
      if (this.#attempts.isHasty(pid, performance.now())) {
        this.#refusals.add("TooManyAttempts", `process ${pid} connects again and again`);
        socket.destroy();
        return;
      }
      this.#open(socket);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      this.#refusals.add(error.code, error.message);
      socket.destroy();
    }
  }

  #open(socket: Socket): void {
    const peer = identifyPeer(socket, this.#options.forbiddenNamespaces);
    const sessions = this.#sessions.get(peer.podUid) ?? [];
    try {
      this.#limit(peer, sessions.length);
    } catch (error) {
      peer.close();
      throw error;
    }
    // The newest one is served: the one before is of a container that ended, or of a launcher that gave it up.
    const before = sessions.at(-1);
    if (before?.isOpen === true) {
      this.#refusals.add("Superseded", `pod ${peer.podUid} has a newer connection`);
    }
    before?.end();
    const context = { ...this.#options, refusals: this.#refusals };
    const session = new LauncherSession(socket, peer, context, before?.ended ?? Promise.resolve());
    this.#sessions.set(peer.podUid, [...sessions, session]);
    void session.ended.then(() => {
      const others = (this.#sessions.get(peer.podUid) ?? []).filter((other) => other !== session);
      if (others.length > 0) this.#sessions.set(peer.podUid, others);
      else this.#sessions.delete(peer.podUid);
    });
  }
  /** @throws AgentError TooManyAttempts, TooManyConnections */
  #limit({ podUid, process: { pid } }: Peer, connections: number): void {
    if (!this.#attempts.take(podUid, pid, performance.now())) {
      throw new AgentError("TooManyAttempts", `pod ${podUid} connects again and again`);
    }
    if (connections >= MAX_CONNECTIONS_PER_POD) {
      throw new AgentError("TooManyConnections", `pod ${podUid} has ${connections} connections already`);
    }
  }
}
