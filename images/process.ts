/** Child processes of the image build: run to the end, or a sentence that says why not. */
import { spawn } from "node:child_process";

export class CommandError extends Error {
  readonly code = "COMMAND_FAILED";
}

export type RunOptions = {
  readonly cwd?: string;
  /** Added to the build's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the command's standard input. */
  readonly input?: string | Buffer;
  /** Milliseconds; the command is killed after them. */
  readonly timeout?: number;
  /** Exit statuses that count as success; 0 unless told. */
  readonly statuses?: readonly number[];
};

/** Longest tail of a failed command's error output that its message repeats, in characters. */
const errorTail = 2000;

/**
 * Runs a command and gives its standard output.
 *
 * @throws CommandError when it cannot start, ends with a status that is no success, or outlives its deadline
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { cwd, env, input, timeout = 600_000, statuses = [0] } = options;
  const child = spawn(command, args, {
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, LC_ALL: "C", ...env },
    timeout,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  // A command may end before it has read all its input; its status then tells the story.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ended = await new Promise<string | undefined>((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new CommandError(`${command} could not be started: is it installed?`, { cause }));
    });
    child.once("close", (status, signal) => {
      resolve(status !== null && statuses.includes(status) ? undefined : (signal ?? `status ${status}`));
    });
  });
  if (ended !== undefined) {
    const said = Buffer.concat(err).toString().trim().slice(-errorTail);
    throw new CommandError(`\`${[command, ...args].join(" ").slice(0, 300)}\` ended with ${ended}: ${said}`);
  }
  return Buffer.concat(out).toString();
}
