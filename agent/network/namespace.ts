/** A pod's network namespace, held open, and the commands that run inside it. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import koffi from "koffi";
import { NetworkError } from "./errors.ts";

/** Each takes 5 ms on an idle node; a kernel busy with hundreds of namespaces may hold the network's lock for long. */
const COMMAND_DEADLINE_MS = 20_000;
const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;
/** linux/sched.h */
const CLONE_NEWNET = 0x40000000;

const setns = koffi.load(null).func("int setns(int fd, int type)");

export interface Namespace extends AsyncDisposable {
  /** Tells namespaces apart while they are open. */
  readonly inode: bigint;
  /** Runs one process inside: standard output, or a NetworkError with what it said on standard error. */
  run(command: readonly [string, ...string[]], input: string, signal?: AbortSignal): Promise<string>;
  /**
   * Runs a synchronous action with the calling thread inside; sockets that it opens stay there. Nothing else runs
   * meanwhile, because a namespace belongs to a thread and this one is Node's.
   */
  enter<T>(action: () => T): T;
}

/**
 * Opens a namespace once, so that everything that follows happens in the same one, whatever becomes of the process
 * whose it was.
 * @throws NetworkError NamespaceGone, or HostNetwork when it is the node's.
 */
export async function openNamespace(path: string, hostPath: string, podUid: string): Promise<Namespace> {
  const host = await identify(hostPath, podUid);
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw gone(path, podUid, cause);
  }
  const { dev, ino } = await handle.stat({ bigint: true });
  if (dev === host.dev && ino === host.ino) {
    await handle.close();
    throw new NetworkError(
      "HostNetwork",
      `pod ${podUid}: runs in the node's network namespace, which is never rewired; remove hostNetwork from the pod`,
    );
  }
  return {
    inode: ino,
    run: (command, input, signal) => runInside(handle, podUid, command, input, signal),
    enter: (action) => enterNamespace(handle, podUid, action),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function identify(path: string, podUid: string): Promise<{ dev: bigint; ino: bigint }> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    throw gone(path, podUid, cause);
  }
}

function gone(path: string, podUid: string, cause: unknown): NetworkError {
  return new NetworkError(
    "NamespaceGone",
    `pod ${podUid}: open network namespace ${path}: ${String(cause)}`,
    {
      cause,
    },
  );
}

function enterNamespace<T>(namespace: FileHandle, podUid: string, action: () => T): T {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    if (setns(namespace.fd, CLONE_NEWNET) !== 0) {
      throw new NetworkError(
        "CommandFailed",
        `pod ${podUid}: its network namespace can't be entered (setns)`,
      );
    }
    try {
      return action();
    } finally {
      // Everything that the agent did from here on would happen in the pod's namespace.
      if (setns(own, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(own);
  }
}

function runInside(
  namespace: FileHandle,
  podUid: string,
  command: readonly [string, ...string[]],
  input: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const deadline = AbortSignal.timeout(COMMAND_DEADLINE_MS);
    const [program, ...args] = command;
    // The child is born where the thread is; nsenter(1) in its place would take as long as the command itself.
    const child = enterNamespace(namespace, podUid, () =>
      spawn(program, args, {
        stdio: ["pipe", "pipe", "pipe"],
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
        killSignal: "SIGKILL",
      }),
    );
    const failed = (reason: string, cause?: unknown): void => {
      reject(new NetworkError("CommandFailed", `pod ${podUid}: ${command.join(" ")}: ${reason}`, { cause }));
    };
    const output = collect(child.stdout, () => child.kill("SIGKILL"));
    const complaint = collect(child.stderr, () => child.kill("SIGKILL"));
    child.on("error", (error) => failed(deadline.aborted ? "took too long" : error.message, error));
    child.on("close", (status, killed) => {
      if (status === 0) resolve(output.text());
      else failed(complaint.text().trim() || `ended with ${killed ?? status}`);
    });
    // A command that ends before it has read its input says why on standard error.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

function collect(stream: Readable | null, overflow: () => void): { text(): string } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_OUTPUT_BYTES) overflow();
    else chunks.push(chunk);
  });
  return { text: () => Buffer.concat(chunks).toString("utf8") };
}
