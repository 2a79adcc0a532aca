/** One launcher's connection, from being identified to its end. */
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { type Attachment, LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { Http2Client } from "../../transport/client.ts";
import { errno } from "../errors.ts";
import type { WireOptions } from "../network/types.ts";
import type { Peer } from "../peer/identity.ts";
import type { ProcessHandle } from "../peer/process.ts";
import type { Announcements } from "./announcements.ts";
import type { StatusRegistry } from "./registry.ts";
import { parseLauncherStatus } from "./status.ts";

/** A launcher may be up before its announcement; one that is not announced by then is none. In milliseconds. */
export const ANNOUNCEMENT_DEADLINE_MS = 30_000;
/** Wiring takes about 25 ms, and a node that starts many pods at once a few times that. In milliseconds. */
const WIRING_DEADLINE_MS = 20_000;

/** A refusal becomes a termination message, of which the kubelet keeps 4096 bytes. */
const MAX_MESSAGE_CHARACTERS = 1024;

export interface SessionContext {
  readonly announcements: Announcements;
  readonly registry: StatusRegistry;
  readonly wireNetwork: (options: WireOptions) => Promise<readonly InterfaceAttachment[]>;
  /** Path of the node's network namespace. */
  readonly hostNetns: string;
  /** Gives a container's device nodes to the launchers' user; returns their paths. */
  readonly handOverDevices: (container: ProcessHandle) => readonly string[];
  /** Where the wiring keeps what it must not lose. */
  readonly networkState: string;
  /** ANNOUNCEMENT_DEADLINE_MS unless told. */
  readonly announcementDeadlineMs?: number;
  readonly log: Logger;
}

/**
 * identified → announced → wired → devices handed over → attachment sent → statuses until the connection ends.
 * Any failure before the attachment is told to the launcher, which ends with it, and to the operator.
 */
export class LauncherSession {
  readonly podUid: string;
  /** Resolves when the session is over and holds nothing any more. It never rejects. */
  readonly ended: Promise<void>;
  readonly #client: Http2Client;
  readonly #peer: Peer;
  readonly #context: SessionContext;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  #attached = false;

  /** The socket and the peer belong to the session from now on. It starts once `after` has resolved. */
  constructor(socket: Socket, peer: Peer, context: SessionContext, after: Promise<void>) {
    this.podUid = peer.podUid;
    this.#peer = peer;
    this.#context = context;
    this.#log = context.log.child({ podUid: peer.podUid, containerId: peer.containerId });
    this.#client = new Http2Client(socket);
    void this.#client.ended.then(() => this.#abort.abort());
    this.ended = after.then(() => this.#run());
  }

  get pid(): number {
    return this.#peer.process.pid;
  }

  /** For requests to the launcher; undefined while it has no attachment, or no longer a connection. */
  get client(): Http2Client | undefined {
    return this.#attached && this.#client.isOpen ? this.#client : undefined;
  }

  /** Ends the session; see `ended`. */
  end(): void {
    this.#abort.abort();
    this.#client.destroy();
  }

  async #run(): Promise<void> {
    try {
      const interfaces = await this.#prepare();
      await this.#tell({ ok: true, interfaces });
      this.#attached = true;
      this.#context.registry.connected(this.podUid);
      this.#log.info("launcher attached");
      await this.#followStatus();
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#attached = false;
      this.#abort.abort();
      this.#client.destroy();
      this.#peer.close();
      this.#context.registry.disconnected(this.podUid);
    }
  }

  async #prepare(): Promise<readonly InterfaceAttachment[]> {
    const { announcements, announcementDeadlineMs = ANNOUNCEMENT_DEADLINE_MS } = this.#context;
    this.#abort.signal.throwIfAborted();
    const announced = await announcements.waitFor(this.podUid, this.#within(announcementDeadlineMs));
    const interfaces = await this.#context.wireNetwork({
      netns: this.#peer.networkNamespacePath,
      hostNetns: this.#context.hostNetns,
      podUid: this.podUid,
      interfaces: announced.interfaces,
      stateDirectory: this.#context.networkState,
      signal: this.#within(WIRING_DEADLINE_MS),
    });
    // Anew for each container: a restarted one has new device nodes.
    const devices = this.#context.handOverDevices(this.#peer.process);
    this.#log.debug({ devices }, "handed over the devices");
    return interfaces;
  }

  async #followStatus(): Promise<void> {
    const { signal } = this.#abort;
    for await (const line of this.#client.lines(LAUNCHER_ROUTES.status, { signal })) {
      this.#context.registry.update(this.podUid, parseLauncherStatus(line));
    }
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#abort.signal.aborted) return;
    if (this.#attached) {
      this.#log.warn({ err: error }, "the launcher's connection failed");
      return;
    }
    const message = (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE_CHARACTERS);
    const code = errno(error) ?? "Internal";
    this.#log.warn({ err: error }, "refused a launcher");
    this.#context.registry.refused(this.podUid, code, message);
    await this.#tell({ ok: false, code, message }).catch((cause: unknown) => {
      this.#log.debug({ err: cause }, "the refused launcher did not listen");
    });
  }

  async #tell(attachment: Attachment): Promise<void> {
    const { signal } = this.#abort;
    await this.#client.request("PUT", LAUNCHER_ROUTES.attachment, { body: attachment, signal });
  }

  #within(milliseconds: number): AbortSignal {
    return AbortSignal.any([this.#abort.signal, AbortSignal.timeout(milliseconds)]);
  }
}
