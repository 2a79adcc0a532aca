/**
 * Copies the guest's console to the container's stdout, where `kubectl logs` finds it. A guest that floods its
 * console fills neither the node's disk nor this process's memory: what exceeds the allowance, or what the reader
 * of stdout doesn't take, is dropped, counted and told in the log itself.
 */
import type { Writable } from "node:stream";
import { Allowance } from "../../lib/allowance.ts";
import { type Clock, systemClock, type Timer } from "../../lib/clock.ts";

export interface GuestLogOptions {
  /** Bytes that may pass at once after a quiet time: a whole boot log. */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
  /** Bytes that may wait for a slow reader of stdout. */
  readonly maxBufferedBytes: number;
}

export const GUEST_LOG_OPTIONS: GuestLogOptions = {
  burstBytes: 256 * 1024,
  bytesPerSecond: 32 * 1024,
  maxBufferedBytes: 256 * 1024,
};

/** After a drop, output passes again once so many bytes may pass, so that what passes are pieces worth reading. */
const RESUME_BYTES = 8 * 1024;

export class GuestLog {
  readonly #out: Writable;
  readonly #options: GuestLogOptions;
  readonly #clock: Clock;
  readonly #allowance: Allowance;
  #droppedBytes = 0;
  #resume: Timer | undefined;

  constructor(out: Writable, options: GuestLogOptions = GUEST_LOG_OPTIONS, clock: Clock = systemClock) {
    this.#out = out;
    this.#options = options;
    this.#clock = clock;
    const { burstBytes: burst, bytesPerSecond: perSecond } = options;
    this.#allowance = new Allowance({ burst, perSecond }, clock.monotonic());
    // Whoever read stdout has left: the guest goes on without a log.
    out.on("error", () => {});
  }

  write(chunk: Buffer): void {
    if (this.#resume !== undefined) {
      this.#droppedBytes += chunk.length;
      return;
    }
    const room = Math.max(0, this.#options.maxBufferedBytes - this.#out.writableLength);
    const taken = this.#allowance.take(Math.min(chunk.length, room), this.#clock.monotonic());
    if (taken > 0) this.#out.write(chunk.subarray(0, taken));
    if (taken < chunk.length) this.#startDropping(chunk.length - taken);
  }

  /** Tells what was dropped until now; nothing is timed any more. */
  close(): void {
    this.#resume?.cancel();
    this.#resume = undefined;
    this.#tellDrops();
  }

  #startDropping(bytes: number): void {
    this.#droppedBytes += bytes;
    const waitMs = this.#allowance.waitMs(RESUME_BYTES, this.#clock.monotonic());
    this.#resume = this.#clock.setTimeout(
      () => {
        this.#resume = undefined;
        this.#tellDrops();
      },
      Math.max(waitMs, 100),
    );
  }

  #tellDrops(): void {
    if (this.#droppedBytes === 0) return;
    this.#out.write(`\r\n[launcher: ${this.#droppedBytes} bytes of console output dropped]\r\n`);
    this.#droppedBytes = 0;
  }
}
