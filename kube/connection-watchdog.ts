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
  /** Checks in a row that found nothing new. */
  silentChecks: number;
}

/**
 * Destroys connections on which nothing arrives although we ping: the peer or the path is gone without a RST.
 * undici sends pings but does not miss an answer, and the kernel would try for 15 minutes (tcp_retries2).
 * Connections without pings (HTTP/1.1) are only counted; there, each watch has its own limit of silence.
 * Silence is counted in checks: while this process stands still it hears nothing of a sound connection either, and
 * what came meanwhile is read only after the check that is due by then.
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
    // The first check may come at once.
    const entry = { socket, isPinged, bytesRead: socket.bytesRead, silentChecks: -1 };
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
    this.#timer = this.#arm();
    for (const entry of this.#watched) {
      entry.silentChecks += 1;
      if (entry.bytesRead !== entry.socket.bytesRead) {
        entry.bytesRead = entry.socket.bytesRead;
        entry.silentChecks = 0;
      } else if (entry.isPinged && entry.silentChecks >= CHECKS) {
        entry.socket.destroy(
          new Error(`nothing arrived for ${this.#silenceLimitMs} ms, not even answers to pings`),
        );
      }
    }
  }
}
