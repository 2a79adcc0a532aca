/** One launcher's connection, from being identified to its end. */
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { type Attachment, LAUNCHER_ROUTES } from "../../api/launcher-protocol.ts";
import type { WiredPath } from "../../api/network-path.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { Allowance } from "../../lib/allowance.ts";
import { sleep } from "../../lib/clock.ts";
import { Http2Client } from "../../transport/client.ts";
import { errno } from "../errors.ts";
import { NetworkError } from "../network/errors.ts";
import { loadState } from "../network/state.ts";
import type { WireOptions } from "../network/types.ts";
import type { WatchOptions } from "../network/watch/watch.ts";
import type { Peer } from "../peer/identity.ts";
import type { ProcessHandle } from "../peer/process.ts";
import type { Announcements } from "./announcements.ts";
import { type BootTurn, type BootTurns, hasBooted } from "./boot-turns.ts";
import type { Refusals } from "./refusals.ts";
import type { StatusRegistry } from "./registry.ts";
import { parseLauncherStatus } from "./status.ts";

/** A launcher may be up before its announcement; one that is not announced by then is none. In milliseconds. */
export const ANNOUNCEMENT_DEADLINE_MS = 30_000;
/** Wiring takes about 25 ms, and a node that starts many pods at once a few times that. In milliseconds. */
const WIRING_DEADLINE_MS = 20_000;

/** Somebody waits for it at a terminal. In milliseconds. */
const INSPECTION_DEADLINE_MS = 5_000;
/**
 * A launcher tells its status some ten times in its life. One that floods is read no faster than this, and is held up
 * by the stream's flow control.
 */
const STATUSES = { burst: 50, perSecond: 10 };
/** A refusal becomes a termination message, of which the kubelet keeps 4096 bytes. */
const MAX_MESSAGE_CHARACTERS = 1024;

export interface SessionContext {
  readonly announcements: Announcements;
  readonly registry: StatusRegistry;
  readonly refusals: Refusals;
  readonly bootTurns: BootTurns;
  readonly wireNetwork: (options: WireOptions) => Promise<readonly InterfaceAttachment[]>;
  /** Changes nothing, and may run beside everything else. */
  readonly inspectNetwork: (options: WireOptions) => Promise<WiredPath>;
  /** Runs beside the session until its signal aborts, and never rejects. */
  readonly watchNetwork: (options: WatchOptions) => Promise<void>;
  /** Path of the node's network namespace. */
  readonly hostNetns: string;
  /** Gives a container's device nodes to the launchers' user; returns their paths. */
  readonly handOverDevices: (container: ProcessHandle) => readonly string[];
  /** Lets the container burst as it was announced, by its /proc/<pid>/cgroup. Throws nothing. */
  readonly letBurst: (podUid: string, cgroup: string) => void;
  /** Where the wiring keeps what it must not lose. */
  readonly networkState: string;
  /** ANNOUNCEMENT_DEADLINE_MS unless told. */
  readonly announcementDeadlineMs?: number;
  readonly log: Logger;
}

/**
 * identified → announced → wired → devices handed over → its turn to boot → attachment sent → statuses until the
 * connection ends. With its attachment a launcher has all that its guest boots from.
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
  /** What its network was made with, once it was. */
  #wired: WireOptions | undefined;
  #attached = false;
  /** Until its guest is up. */
  #bootTurn: BootTurn | undefined;
  /** The agent itself has ended the session: nothing that fails now tells of the launcher. */
  #isGivenUp = false;

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

  get isOpen(): boolean {
    return this.#client.isOpen;
  }

  /** For requests to the launcher; undefined while it has no attachment, or no longer a connection. */
  get client(): Http2Client | undefined {
    return this.#attached && this.#client.isOpen ? this.#client : undefined;
  }

  /** @throws NetworkError NotWired */
  async inspectNetwork(): Promise<WiredPath> {
    if (this.#wired === undefined) {
      throw new NetworkError("NotWired", `the network of pod ${this.podUid} has not been made yet`);
    }
    return this.#context.inspectNetwork({ ...this.#wired, signal: this.#within(INSPECTION_DEADLINE_MS) });
  }

  /** Ends the session; see `ended`. */
  end(): void {
    this.#isGivenUp = true;
    this.#abort.abort();
    this.#client.destroy();
  }

  async #run(): Promise<void> {
    let watched: Promise<void> | undefined;
    try {
      const interfaces = await this.#prepare();
      await this.#tell({ ok: true, interfaces });
      this.#attached = true;
      watched = this.#context.watchNetwork({
        netns: this.#peer.networkNamespacePath,
        hostNetns: this.#context.hostNetns,
        podUid: this.podUid,
        attachments: interfaces,
        log: this.#log,
        signal: this.#abort.signal,
      });
      this.#context.registry.connected(this.podUid);
      this.#log.info("launcher attached");
      await this.#followStatus();
      await this.#fail(undefined);
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#attached = false;
      this.#bootTurn?.end();
      this.#abort.abort();
      this.#client.destroy();
      await watched;
      this.#peer.close();
      this.#context.registry.disconnected(this.podUid);
    }
  }

  async #prepare(): Promise<readonly InterfaceAttachment[]> {
    const { announcements, announcementDeadlineMs = ANNOUNCEMENT_DEADLINE_MS } = this.#context;
    this.#abort.signal.throwIfAborted();
    const announced = await announcements.waitFor(this.podUid, this.#within(announcementDeadlineMs));
    // Before anything else: what the launcher does meanwhile takes CPU of its pod's.
    this.#context.letBurst(this.podUid, this.#peer.process.read("cgroup"));
    const options: WireOptions = {
      netns: this.#peer.networkNamespacePath,
      hostNetns: this.#context.hostNetns,
      podUid: this.podUid,
      interfaces: announced.interfaces,
      stateDirectory: this.#context.networkState,
    };
    // The guest of a pod that was wired before has booted, or is at it: its launcher only lost its connection.
    const isNew = (await loadState(options.stateDirectory, this.podUid)) === undefined;
    const interfaces = await this.#context.wireNetwork({
      ...options,
      signal: this.#within(WIRING_DEADLINE_MS),
    });
    this.#wired = options;
    // Anew for each container: a restarted one has new device nodes.
    const devices = this.#context.handOverDevices(this.#peer.process);
    this.#log.debug({ devices }, "handed over the devices");
    if (isNew) this.#bootTurn = await this.#context.bootTurns.take(this.#abort.signal);
    return interfaces;
  }

  async #followStatus(): Promise<void> {
    const { signal } = this.#abort;
    const allowance = new Allowance(STATUSES, performance.now());
    for await (const line of this.#client.lines(LAUNCHER_ROUTES.status, { signal })) {
      const status = parseLauncherStatus(line);
      this.#context.registry.update(this.podUid, status);
      if (hasBooted(status)) this.#bootTurn?.end();
      while (allowance.take(1, performance.now()) === 0) {
        await sleep(allowance.waitMs(1, performance.now()), { signal });
      }
    }
  }

  /** @param error undefined when the launcher's statuses have ended without one */
  async #fail(error: unknown): Promise<void> {
    if (this.#isGivenUp) return;
    if (!this.#client.isOpen || this.#abort.signal.aborted) {
      await this.#countEnd();
      return;
    }
    const code = errno(error) ?? "Internal";
    const message = (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE_CHARACTERS);
    if (error !== undefined) this.#context.refusals.add(code, `pod ${this.podUid}: ${message}`);
    if (this.#attached) return;
    this.#log.debug({ err: error }, "refused a launcher");
    this.#context.registry.refused(this.podUid, code, message);
    await this.#tell({ ok: false, code, message }).catch((cause: unknown) => {
      this.#log.debug({ err: cause }, "the refused launcher did not listen");
    });
  }

  /** A launcher that has left: one that is attached may, with bytes that are no HTTP/2 nobody may. */
  async #countEnd(): Promise<void> {
    // One that says goodbye (GOAWAY) and stays would be waited for without end.
    this.#client.destroy();
    const { cause } = await this.#client.ended;
    const { refusals } = this.#context;
    if (errno(cause)?.startsWith("ERR_HTTP2_") === true) {
      refusals.add("ProtocolError", `pod ${this.podUid} sent bytes that are no HTTP/2: ${cause?.message}`);
    } else if (!this.#attached) {
      refusals.add("LeftEarly", `pod ${this.podUid} ended its connection before it had its network`);
    }
  }

  async #tell(attachment: Attachment): Promise<void> {
    const { signal } = this.#abort;
    await this.#client.request("PUT", LAUNCHER_ROUTES.attachment, { body: attachment, signal });
  }

  #within(milliseconds: number): AbortSignal {
    return AbortSignal.any([this.#abort.signal, AbortSignal.timeout(milliseconds)]);
  }
}
