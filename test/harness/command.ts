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
  /** Resolves when the output since the start matches. @throws Error with the output after the deadline */
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
          const match = pattern.exec(output);
          if (match === null) return;
          clearTimeout(deadline);
          waiting.delete(check);
          resolve(match);
        };
        waiting.add(check);
        check();
      }),
  };
}
