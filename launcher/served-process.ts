/** A program beside the launcher that serves a unix socket: libvirtd, swtpm. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { connectWhenServed } from "./unix-socket.ts";

/** From SIGTERM to SIGKILL; an idle libvirtd takes about 10 ms. */
const STOP_TIMEOUT_MS = 3_000;
/** Lines of the program's log that are kept for the error of a failed start. */
const KEPT_LINES = 5;
const MAX_LINE_CHARACTERS = 1_000;

export interface ServedProcessOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** This process's user unless told. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** In a folder that exists. */
  readonly socket: string;
  /** From the spawn to the socket. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Told of each line that it writes to its standard error. */
  readonly onLogLine?: (line: string) => void;
  /** Told how it ended when nobody stopped it. */
  readonly onLost?: (end: string) => void;
  /** The error of a failed start. @param end what became of it, with its last words */
  readonly failed: (end: string, cause: unknown) => Error;
}

export interface ServedProcess {
  readonly pid: number;
  /** Resolves when the process has ended, with a sentence that says how. */
  readonly exited: Promise<string>;
  /** Ends it by SIGTERM, by SIGKILL after a deadline. Resolves when it is gone. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts it and waits until its socket answers.
 * @throws what `failed` makes; the signal's reason when it aborts first
 */
export async function startServedProcess(options: ServedProcessOptions): Promise<ServedProcess> {
  const { program, args, env, user, socket, timeoutMs, signal, onLogLine, onLost, failed } = options;
  signal?.throwIfAborted();
  const child = spawn(program, [...args], { ...user, env, stdio: ["ignore", "ignore", "pipe"] });
  const lastLines: string[] = [];
  readLines(child, (line) => {
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
    onLogLine?.(line);
  });
  const exited = endOf(child);
  let isStopped = false;
  const died = new AbortController();
  void exited.then((end) => {
    died.abort();
    if (!isStopped) onLost?.(end);
  });
  const stop = () => {
    isStopped = true;
    return stopProcess(child, exited);
  };
  const deadline = AbortSignal.timeout(timeoutMs);
  const wait = AbortSignal.any([deadline, died.signal, ...(signal === undefined ? [] : [signal])]);
  try {
    const connection = await connectWhenServed(socket, wait);
    connection.destroy();
  } catch (cause) {
    const end = died.signal.aborted ? await exited : undefined;
    await stop();
    if (signal?.aborted === true) throw signal.reason;
    const log = lastLines.length > 0 ? `; its last words: ${lastLines.join(" | ")}` : "";
    throw failed(`${end ?? `served no socket within ${timeoutMs} ms`}${log}`, cause);
  }
  return { pid: child.pid ?? -1, exited, stop };
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  if (child.stderr === null) return;
  const lines = createInterface({ input: child.stderr });
  lines.on("line", (line) => onLine(line.slice(0, MAX_LINE_CHARACTERS)));
  lines.on("error", () => {});
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`can't be run: ${error.message}`));
    child.once("exit", (code, signal) =>
      resolve(code === null ? `was ended by ${signal}` : `ended with exit code ${code}`),
    );
  });
}

async function stopProcess(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}
