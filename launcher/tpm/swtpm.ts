/** The guest's TPM 2.0: swtpm's process beside qemu, which connects to its socket. What it keeps ends with the pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { LauncherError } from "../errors.ts";
import { connectWhenServed } from "../unix-socket.ts";

export const SWTPM = "/usr/bin/swtpm";
/** From the spawn to the socket: some 10 ms on an idle machine. */
const START_TIMEOUT_MS = 10_000;
/** Lines of its log that are kept for the error of a failed start. */
const KEPT_LINES = 5;

export interface SwtpmOptions {
  /** qemu's control channel. Its folder must exist. */
  readonly socket: string;
  /** For the TPM's state; made when absent. */
  readonly directory: string;
  /** `SWTPM` unless told. */
  readonly program?: string;
  /** Told of each line of its log, and how it ended when nobody stopped it. */
  readonly onLogLine: (line: string) => void;
  /** `START_TIMEOUT_MS` unless told. */
  readonly timeoutMs?: number;
}

export interface Swtpm {
  /** Idempotent. */
  stop(): void;
}

/**
 * Starts swtpm with a TPM that has just been made, and waits until its socket is served.
 * @throws LauncherError `TpmStart`
 */
export async function startSwtpm(options: SwtpmOptions): Promise<Swtpm> {
  const { socket, directory, program = SWTPM, onLogLine, timeoutMs = START_TIMEOUT_MS } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const child = spawn(
    program,
    [
      ...["socket", "--tpm2"],
      ...["--tpmstate", `dir=${directory},mode=0600`],
      ...["--ctrl", `type=unixio,path=${socket},mode=0600`],
    ],
    { env: { PATH: "/usr/bin", LC_ALL: "C" }, stdio: ["ignore", "ignore", "pipe"] },
  );
  let isStopped = false;
  const lastLines = keepLines(child, onLogLine);
  const ended = endOf(child);
  void ended.then((end) => {
    if (!isStopped) onLogLine(`swtpm ${end}: the guest's TPM is gone`);
  });
  const stop = () => {
    isStopped = true;
    child.kill("SIGKILL");
  };
  const died = new AbortController();
  void ended.then(() => died.abort());
  try {
    // One look at the control channel; qemu's own connection is the next.
    const connection = await connectWhenServed(
      socket,
      AbortSignal.any([AbortSignal.timeout(timeoutMs), died.signal]),
    );
    connection.destroy();
  } catch (cause) {
    const end = died.signal.aborted ? await ended : `served no socket within ${timeoutMs} ms`;
    stop();
    const log = lastLines.length > 0 ? `; its last words: ${lastLines.join(" | ")}` : "";
    throw new LauncherError("TpmStart", `swtpm, the guest's TPM, ${end}${log}`, { cause });
  }
  return { stop };
}

function keepLines(child: ChildProcess, onLine: (line: string) => void): readonly string[] {
  const kept: string[] = [];
  if (child.stderr === null) return kept;
  const lines = createInterface({ input: child.stderr });
  lines.on("line", (line) => {
    kept.push(line);
    if (kept.length > KEPT_LINES) kept.shift();
    onLine(line);
  });
  lines.on("error", () => {});
  return kept;
}

/** Resolves with a sentence that says how. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`can't be run: ${error.message}`));
    child.once("exit", (code, signal) =>
      resolve(code === null ? `was ended by ${signal}` : `ended with exit code ${code}`),
    );
  });
}
