/**
 * Keeps a connection to the guest agent's channel, and gives the agent one command at a time: it knows no more, and
 * libvirtd has few threads.
 */
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { LibvirtError, type LibvirtErrorCode } from "../libvirt/errors.ts";
import type { Log } from "../log.ts";
import { type AgentCommand, decodeAnswer, encodeCommand } from "./commands.ts";
import type { AgentConnection } from "./connection.ts";
import { GuestAgentError } from "./errors.ts";

const RECONNECT = { initialMs: 100, maxMs: 30_000, resetAfterMs: 60_000 };
/** Commands that wait for their turn; more are refused. */
const MAX_WAITING = 16;

/** What a guest says when it refuses goes into logs and conditions. */
const MAX_WORDS_CHARACTERS = 1_024;

export interface ChannelOptions {
  readonly connect: () => Promise<AgentConnection>;
  readonly clock: Clock;
  readonly log: Log;
  /** The guest has the channel open, or has no more. */
  readonly onChange: (isOpen: boolean) => void;
}

export class AgentChannel {
  readonly #options: ChannelOptions;
  readonly #closing = new AbortController();
  #connection: AgentConnection | undefined;
  #isOpen = false;
  #isFailing = false;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Keeps connected until `close`. Never rejects. */
  async run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#closing;
    const backoff = new Backoff({ ...RECONNECT, clock });
    while (!signal.aborted) {
      try {
        await this.#connectOnce();
        this.#isFailing = false;
      } catch (error) {
        // Told once: libvirtd may be away, and its supervisor tells that too.
        if (!this.#isFailing && !signal.aborted) {
          log.warn({ err: error }, "cannot follow the guest agent's channel");
        }
        this.#isFailing = true;
      }
      if (!signal.aborted) await backoff.wait(signal).catch(() => {});
    }
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.close();
  }

  /** @throws GuestAgentError */
  ask<T>(command: AgentCommand<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING) {
      const message = `${command.name}: ${MAX_WAITING} commands wait for the guest agent already`;
      return Promise.reject(new GuestAgentError("GuestAgentBusy", message));
    }
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#perform(command));
    this.#last = turn
      .catch(() => {})
      .finally(() => {
        this.#waiting -= 1;
      });
    return turn;
  }

  async #connectOnce(): Promise<void> {
    const connection = await this.#options.connect();
    try {
      if (this.#closing.signal.aborted) return;
      this.#connection = connection;
      await connection.follow((isOpen) => this.#changed(isOpen));
      await connection.closed;
    } finally {
      this.#connection = undefined;
      connection.close();
      this.#changed(false);
    }
  }

  #changed(isOpen: boolean): void {
    if (this.#isOpen === isOpen) return;
    this.#isOpen = isOpen;
    this.#options.onChange(isOpen);
  }

  async #perform<T>(command: AgentCommand<T>): Promise<T> {
    const connection = this.#connection;
    if (!this.#isOpen || connection === undefined) throw notConnected();
    let answer: string;
    try {
      answer = await connection.command(encodeCommand(command), command.deadlineSeconds);
    } catch (cause) {
      throw failureOf(command, cause);
    }
    return decodeAnswer(command, answer);
  }
}

export function notConnected(): GuestAgentError {
  return new GuestAgentError(
    "GuestAgentNotConnected",
    "no guest agent is connected: install and start qemu-guest-agent in the guest",
  );
}

/** libvirt tells the agent's own refusals as internal errors. */
const REFUSALS: readonly LibvirtErrorCode[] = ["GuestAgentCommandFailed", "LibvirtInternal"];

function failureOf(command: AgentCommand<unknown>, cause: unknown): GuestAgentError {
  const message = `${command.name}: ${wordsOf(cause)}`;
  if (cause instanceof LibvirtError && REFUSALS.includes(cause.code)) {
    // Without its cause, which has the same words uncut, and would go into the log.
    return new GuestAgentError("GuestAgentRefused", message);
  }
  return new GuestAgentError("GuestAgentUnresponsive", message, { cause });
}

/** libvirt's own words, or the agent's in them, on one line. */
function wordsOf(cause: unknown): string {
  const told = cause instanceof LibvirtError ? cause.record?.message : undefined;
  const message = told ?? (cause instanceof Error ? cause.message : String(cause));
  const words = message.slice(0, MAX_WORDS_CHARACTERS).replaceAll(/\s+/g, " ").trim();
  return words.replace(/^.*unable to execute QEMU agent command '[^']*': /, "");
}
