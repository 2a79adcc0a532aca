/** The guest's two consoles, serial and VNC, as the agent's requests reach them. */
import type { Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { RequestError } from "../../transport/errors.ts";
import { relay } from "../../transport/relay.ts";
import type { AcceptStream } from "../agent-link/routes.ts";
import type { Log } from "../log.ts";
import { connectSocket, connectWhenServed } from "../unix-socket.ts";
import { GuestLog } from "./guest-log.ts";
import { type DetachReason, SerialConsole } from "./serial.ts";

export interface GuestConsoleOptions {
  /** qemu's sockets; absent where the guest has no such console. */
  readonly serialSocket: string | undefined;
  readonly vncSocket: string | undefined;
  /** Gets a copy of the serial console's output. */
  readonly stdout: Writable;
  readonly log: Log;
}

export class GuestConsole {
  readonly #options: GuestConsoleOptions;
  readonly #guestLog: GuestLog;
  readonly #closing = new AbortController();
  #serial: SerialConsole | undefined;
  #viewers = 0;

  constructor(options: GuestConsoleOptions) {
    this.#options = options;
    this.#guestLog = new GuestLog(options.stdout);
  }

  /** Begins to wait for qemu's serial socket: called before qemu is started, so that no output is missed. */
  open(): void {
    const { log, serialSocket } = this.#options;
    if (serialSocket === undefined) return;
    connectWhenServed(serialSocket, this.#closing.signal).then(
      (socket) => {
        this.#serial = new SerialConsole(socket, this.#guestLog);
      },
      (error: unknown) => {
        if (!this.#closing.signal.aborted)
          log.error({ err: error }, "cannot connect to the guest's serial console");
      },
    );
  }

  /**
   * Gives the serial console to a client, for as long as that one stays and no newer one comes.
   * @throws RequestError 404 the guest has none, 409 it isn't there yet or any more
   */
  async attachSerial(accept: AcceptStream): Promise<void> {
    if (this.#options.serialSocket === undefined) {
      throw new RequestError(
        404,
        "ConsoleAbsent",
        "the guest has no serial console (autoattachSerialConsole)",
      );
    }
    if (this.#serial === undefined || !this.#serial.isOpen) {
      throw new RequestError(
        409,
        "ConsoleNotOpen",
        "the guest's serial console is open only while the domain runs",
      );
    }
    let reason: DetachReason | undefined;
    reason = await this.#serial.attach(accept(() => reason));
    this.#options.log.debug({ reason }, "console client detached");
  }

  /**
   * Several may look at once; the viewers say in VNC's own protocol whether they share.
   * @param preserveSession refused where somebody looks already
   * @throws RequestError 404 the guest has none, 409 it isn't there yet or any more, or is in use
   */
  async attachVnc(accept: AcceptStream, preserveSession = false): Promise<void> {
    const { vncSocket } = this.#options;
    if (vncSocket === undefined) {
      throw new RequestError(404, "VncAbsent", "the guest has no graphics (autoattachGraphicsDevice)");
    }
    if (preserveSession && this.#viewers > 0) {
      throw new RequestError(
        409,
        "VncInUse",
        "somebody looks at the guest's screen, and is to be left alone",
      );
    }
    this.#viewers += 1;
    try {
      const socket = await connectSocket(vncSocket).catch((cause: unknown) => {
        const message = "the guest's VNC server is there only while the domain runs";
        throw new RequestError(409, "VncNotOpen", message, { cause });
      });
      await relay(acceptedFor(socket, accept), socket);
    } finally {
      this.#viewers -= 1;
    }
  }

  close(): void {
    this.#closing.abort();
    this.#serial?.close();
    this.#guestLog.close();
  }
}

/** @throws what `accept` throws for a client that left while qemu's socket was connected, which is closed then */
function acceptedFor(socket: Socket, accept: AcceptStream): Duplex {
  try {
    return accept();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
