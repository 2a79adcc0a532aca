/**
 * The guest's serial console: qemu's unix socket takes one client, so the launcher is that client for the whole life
 * of the domain and shares what it reads between the log and at most one attached client.
 *
 * While a client is attached its pace rules: what it doesn't take isn't read from qemu, so no byte is lost on its way,
 * and the guest's writes wait as they do on a real serial line. A client that takes nothing for STALL_MS is taken
 * for dead and detached, for a guest whose kernel waits for its console stands still. Nothing is replayed to a
 * client that attaches (KubeVirt's behaviour).
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, systemClock, type Timer } from "../../lib/clock.ts";
import type { GuestLog } from "./guest-log.ts";

export const STALL_MS = 30_000;

export type DetachReason = "clientLeft" | "displaced" | "stalled" | "consoleEnded";

interface Attached {
  readonly client: Duplex;
  detach(reason: DetachReason): void;
}

export class SerialConsole {
  readonly #socket: Socket;
  readonly #log: GuestLog;
  readonly #clock: Clock;
  #attached: Attached | undefined;
  #stall: Timer | undefined;

  /** @param socket connected to qemu's serial socket; belongs to the console from then on */
  constructor(socket: Socket, log: GuestLog, clock: Clock = systemClock) {
    this.#socket = socket;
    this.#log = log;
    this.#clock = clock;
    socket.on("data", (chunk) => this.#received(chunk));
    // An error is followed by close, and a console that ended is no failure of the guest.
    socket.on("error", () => {});
    socket.once("close", () => this.#attached?.detach("consoleEnded"));
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Gives the console to `client`, and to no other any more. Resolves with why it was taken away. */
  attach(client: Duplex): Promise<DetachReason> {
    this.#attached?.detach("displaced");
    return new Promise((resolve) => {
      const leave = () => attached.detach("clientLeft");
      const type = (chunk: Buffer) => this.#send(client, chunk);
      const drained = () => this.#resumeReading();
      const attached: Attached = {
        client,
        detach: (reason) => {
          if (this.#attached !== attached) return;
          this.#attached = undefined;
          client.off("data", type);
          client.off("drain", drained);
          this.#resumeReading();
          if (reason === "stalled") client.destroy();
          else client.end();
          // What the client still sends has no reader; unread it would hold its connection's window.
          client.resume();
          resolve(reason);
        },
      };
      this.#attached = attached;
      client.on("data", type);
      client.on("drain", drained);
      client.once("end", leave);
      client.once("close", leave);
      client.on("error", leave);
      if (!this.isOpen) attached.detach("consoleEnded");
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    this.#log.write(chunk);
    const client = this.#attached?.client;
    if (client === undefined || client.writableEnded || client.destroyed) return;
    if (client.write(chunk)) return;
    this.#socket.pause();
    this.#stall ??= this.#clock.setTimeout(() => this.#attached?.detach("stalled"), STALL_MS);
  }

  #resumeReading(): void {
    this.#stall?.cancel();
    this.#stall = undefined;
    this.#socket.resume();
  }

  /** Keys: read from the client only as fast as qemu takes them. */
  #send(client: Duplex, chunk: Buffer): void {
    if (this.#socket.destroyed || this.#socket.write(chunk)) return;
    client.pause();
    this.#socket.once("drain", () => client.resume());
  }
}
