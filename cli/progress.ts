/** A line that says what is waited for and since when, for a person at a terminal; nothing for anybody else. */
import { type Clock, systemClock, type Timer } from "../lib/clock.ts";

/** What is faster needs no word. */
const PATIENCE_MS = 1_000;
const EACH_MS = 1_000;
/** Back to the line's begin, and what stands there erased (ECMA-48 EL). */
const ERASE = "\r\u001b[K";

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** Standard error unless told: standard output may be read by a program. */
  readonly stream?: ProgressStream;
  readonly clock?: Clock;
}

export class Progress {
  readonly #stream: ProgressStream;
  readonly #clock: Clock;
  readonly #startedMs: number;
  #timer: Timer | undefined;
  #what: string;
  #isShown = false;

  constructor(what: string, { stream = process.stderr, clock = systemClock }: ProgressOptions = {}) {
    this.#what = what;
    this.#stream = stream;
    this.#clock = clock;
    this.#startedMs = clock.monotonic();
    if (stream.isTTY === true) this.#showIn(PATIENCE_MS);
  }

  /** What is waited for from now on. */
  tell(what: string): void {
    this.#what = what;
    if (this.#isShown) this.#show();
  }

  #showIn(delayMs: number): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#show();
      this.#showIn(EACH_MS);
    }, delayMs);
  }

  #show(): void {
    const elapsedMs = this.#clock.monotonic() - this.#startedMs;
    const since = ` (${Math.floor(elapsedMs / 1000)} s)`;
    const room = (this.#stream.columns ?? 80) - since.length - 1;
    this.#stream.write(`${ERASE}${this.#what.slice(0, room)}${since}`);
    this.#isShown = true;
  }

  /** The line goes; what comes next has it to itself. */
  end(): void {
    this.#timer?.cancel();
    if (this.#isShown) this.#stream.write(ERASE);
    this.#isShown = false;
  }
}

/** Waits for `work`, and tells the person that it does. */
export async function withProgress<T>(what: string, work: Promise<T>, options?: ProgressOptions): Promise<T> {
  const progress = new Progress(what, options);
  try {
    return await work;
  } finally {
    progress.end();
  }
}
