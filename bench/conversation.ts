/** A process that answers each line of JSON with one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const ANSWER_TIMEOUT_MS = 60_000;

export class Conversation {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error(`${child.spawnfile} has no standard output`);
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static start(command: string, args: readonly string[]): Conversation {
    return new Conversation(spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] }));
  }

  /** @throws Error when the process says nothing in time, or has ended */
  async next<T>(): Promise<T> {
    const deadline = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const silence = once(deadline, "abort").then(() => undefined);
    const line = await Promise.race([this.#lines.next(), silence]);
    if (line === undefined || line.done === true)
      throw new Error(`${this.#child.spawnargs.join(" ")}: no answer`);
    return JSON.parse(line.value) as T;
  }

  ask<T>(command: object = {}): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    return this.next<T>();
  }

  end(): Promise<void> {
    return killed(this.#child);
  }
}

/** Resolves once the process is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
