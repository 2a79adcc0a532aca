/** Child processes for tests and scripts: output shown or taken, failure told with the command and its words. */
import { spawn, spawnSync } from "node:child_process";
import { ROOT } from "./cluster.ts";

/** Runs a command with its output on this terminal. @throws Error when it fails */
export function runVisible(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): void {
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with status ${status}`);
}

/** Runs a command and returns its standard output. @throws Error with its standard error when it fails */
export function capture(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): string {
  const result = spawnSync(command, args, { cwd: ROOT, env, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(" ")} ended with status ${result.status}: ${result.stderr.trim()}`,
    );
  }
  return result.stdout;
}

/** Path of a program of the development cluster; one that must be built first shows its progress meanwhile. */
export function clusterTool(name: string): string {
  const tool = "./cluster/tool";
  const result = spawnSync(tool, [name], {
    cwd: ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0) throw new Error(`${tool} ${name} ended with status ${result.status}`);
  return result.stdout.trim();
}

export interface Interactive {
  write(text: string): void;
  /**
   * Resolves when what was printed since the last match matches: each match is used up, with all before it.
   * @throws Error with the output after the deadline
   */
  expect(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  kill(): void;
}

/** A program that is talked to through its standard streams. */
export function interact(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Interactive {
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  /** Where what no `expect` has used up begins. */
  let start = 0;
  const waiting = new Set<() => void>();
  const collect = (chunk: Buffer) => {
    output += chunk.toString("utf8");
    for (const check of waiting) check();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  return {
    write: (text) => void child.stdin.write(text),
    ended: new Promise((resolve) => child.once("close", (code) => resolve(code ?? -1))),
    kill: () => void child.kill("SIGKILL"),
    expect: (pattern, timeoutMs) =>
      new Promise((resolve, reject) => {
        const deadline = setTimeout(() => {
          waiting.delete(check);
          reject(
            new Error(
              `${command} never printed ${pattern} in ${timeoutMs} ms; it printed:\n${output.slice(-2000)}`,
            ),
          );
        }, timeoutMs);
        const check = () => {
          const match = pattern.exec(output.slice(start));
          if (match === null) return;
          start += match.index + match[0].length;
          clearTimeout(deadline);
          waiting.delete(check);
          resolve(match);
        };
        waiting.add(check);
        check();
      }),
  };
}

/** The first pause between two tries to be heard; an emulated guest answers sooner unless the machine is busy. */
const HEARD_MS = 5_000;

/**
 * Types into the guest's shell until it answers: what is typed while a connection breaks, or before one stands, is lost.
 * Nothing is left to be answered but what was typed while the guest was late.
 */
export async function untilHeard(terminal: Interactive, word: string, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (let patienceMs = HEARD_MS; ; patienceMs *= 2) {
    const leftMs = deadline - performance.now();
    // The echo of the line must not pass for the answer, so it is told apart by a number that the shell puts in.
    terminal.write(`\necho ${word}-$((6 * 7))\n`);
    try {
      await terminal.expect(new RegExp(`${word}-42`), Math.min(patienceMs, leftMs));
      return;
    } catch (error) {
      if (leftMs <= patienceMs) throw error;
    }
  }
}
