import type { Socket } from "node:net";
import { type Clock, systemClock, type Timer } from "../lib/clock.ts";

/** client-go gives a quiet HTTP/2 connection 30 s until a ping and the ping 15 s. */
const SILENCE_LIMIT_MS = 45_000;
/** Checks within the limit: a dead connection lives at most a ninth longer. */
const CHECKS = 9;

interface Watched {
  readonly socket: Pick<Socket, "bytesRead" | "destroy" | "once">;
  readonly isPinged: boolean;
  bytesRead: number;
  changedMs: number;
}

/**
 * Destroys connections on which nothing arrives although we ping: the peer or the path is gone without a RST.
 * undici sends pings but does not miss an answer, and the kernel would try for 15 minutes (tcp_retries2).
 * Connections without pings (HTTP/1.1) are only counted; there, each watch has its own limit of silence.
 */
export class ConnectionWatchdog {
  readonly #clock: Clock;
  readonly #silenceLimitMs: number;
  readonly #watched = new Set<Watched>();
  #timer: Timer | undefined;

  constructor(options: { clock?: Clock; silenceLimitMs?: number } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#silenceLimitMs = options.silenceLimitMs ?? SILENCE_LIMIT_MS;
  }

  /** Open connections. */
  get size(): number {
    return this.#watched.size;
  }

  add(socket: Watched["socket"], isPinged: boolean): void {
    const entry = { socket, isPinged, bytesRead: socket.bytesRead, changedMs: this.#clock.monotonic() };
    this.#watched.add(entry);
    socket.once("close", () => {
      this.#watched.delete(entry);
      if (this.#watched.size === 0) {
        this.stop();
      }
    });
    this.#timer ??= this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): Timer {
    return this.#clock.setTimeout(() => this.#check(), this.#silenceLimitMs / CHECKS);
  }

  #check(): void {
    const nowMs = this.#clock.monotonic();
    for (const entry of this.#watched) {
      if (entry.bytesRead !== entry.socket.bytesRead) {
        entry.bytesRead = entry.socket.bytesRead;
        entry.changedMs = nowMs;
      } else if (entry.isPinged && nowMs - entry.changedMs >= this.#silenceLimitMs) {
        entry.socket.destroy(
          new Error(`nothing arrived for ${this.#silenceLimitMs} ms, not even answers to pings`),
        );
      }
    }
    this.#timer = this.#arm();
  }
}
