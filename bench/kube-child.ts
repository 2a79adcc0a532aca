/** A measured process that is asked by lines and answers by lines of JSON; see bench/kube-informer.ts. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const ANSWER_TIMEOUT_MS = 120_000;

export class MeasuredProcess {
  readonly #command: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #failed: Promise<never>;

  constructor(command: readonly [string, ...string[]]) {
    const [program, ...args] = command;
    this.#command = command.join(" ");
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    if (this.#child.stdout === null) throw new Error(`${program}: no standard output`);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#failed = once(this.#child, "exit").then(([code, signal]) => {
      throw new Error(`${this.#command} ended with ${code ?? signal} before it answered`);
    });
    this.#failed.catch(() => {});
  }

  /** @throws Error when it ends or does not answer within 2 min */
  async ask<Answer>(line: string): Promise<Answer> {
    this.#child.stdin?.write(`${line}\n`);
    const deadline = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const late = once(deadline, "abort").then(() => {
      throw new Error(`${this.#command} has not answered within ${ANSWER_TIMEOUT_MS / 1000} s`);
    });
    const { done, value } = await Promise.race([this.#lines.next(), this.#failed, late]);
    return done === true ? this.#failed : (JSON.parse(value) as Answer);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#command} has not started`);
    return this.#child.pid;
  }

  /** VmRSS and VmHWM in bytes. */
  memory(): { resident: number; peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const bytes = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
    return { resident: bytes("VmRSS"), peak: bytes("VmHWM") };
  }

  /** Seconds of CPU so far, user and system. */
  cpuSeconds(): number {
    // proc_pid_stat(5): fields 14 and 15 in clock ticks of 10 ms; the name in field 2 may hold blanks.
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
