/** `virtpod console NAME`: the guest's serial console in this terminal. */
import type { WebSocket } from "ws";
import { Backoff } from "../../lib/backoff.ts";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { Progress } from "../progress.ts";
import { Refusal } from "../request.ts";
import { openStream } from "../stream.ts";
import { subresourcePath } from "../subresource.ts";
import { printable } from "../table.ts";

export interface ConsoleFlags extends ClusterFlags {
  /** Milliseconds until the console must have answered the first time. */
  readonly timeout: number;
}

/** Ctrl+], as telnet and virsh have it. */
const ESCAPE = 0x1d;
/** Bytes typed that may wait for the network before reading from the terminal pauses. */
const MAX_BUFFERED = 256 * 1024;

/** Close code of a websocket whose console somebody else has taken. */
const TAKEN_OVER = 4001;
/** Close code of a stream that ended in the ordinary way: the guest is gone. */
const ENDED = 1000;

type Ending =
  | { readonly by: "person" }
  | { readonly by: "server"; readonly code: number; readonly reason: string };

/** Resolves when the person leaves with Ctrl+] or standard input ends. @throws CliError */
export async function console_(name: string, flags: ConsoleFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const target = `${cluster.namespace}/${name}`;
  const backoff = new Backoff({ initialMs: 250, maxMs: 10_000, resetAfterMs: 60_000 });
  const say = (line: string) => process.stderr.write(`${line}\r\n`);
  let websocket = await firstConnection(cluster, name, flags.timeout);
  say(`Connected to the console of ${target}. The escape sequence is ^]`);
  const restore = rawTerminal();
  try {
    for (;;) {
      const ending = await attach(websocket);
      if (ending.by === "person") return;
      // Who took it wants it: connecting again would only take it back.
      if (ending.code === TAKEN_OVER)
        throw new CliError(`the console of ${target} was taken by somebody else: ${ending.reason}`);
      const what = ending.code === ENDED ? "has ended" : "was lost";
      const why = ending.reason === "" ? "" : ` (${printable(ending.reason)})`;
      say(`\r\nThe connection to ${target} ${what}${why}, connecting again; ^] leaves`);
      websocket = await reconnect(cluster, name, backoff);
      say(`Connected again to ${target}`);
    }
  } finally {
    restore();
    process.stdin.pause();
  }
}

/** A guest that is still starting is waited for until the deadline. */
async function firstConnection(cluster: Cluster, name: string, timeoutMs: number): Promise<WebSocket> {
  const started = Date.now();
  const backoff = new Backoff({ initialMs: 250, maxMs: 2_000 });
  const progress = new Progress(`connecting to ${cluster.namespace}/${name}`);
  try {
    for (;;) {
      try {
        return await dial(cluster, name);
      } catch (error) {
        if (!(error instanceof Refusal) || !PASSING.includes(error.status)) throw error;
        const waitMs = backoff.next();
        if (Date.now() + waitMs > started + timeoutMs) throw error;
        progress.tell(`waiting: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
  } finally {
    progress.end();
  }
}

/** Tries until it succeeds, the person presses Ctrl+] or standard input ends. @throws CliError when they do */
async function reconnect(cluster: Cluster, name: string, backoff: Backoff): Promise<WebSocket> {
  const { stdin } = process;
  const left = new AbortController();
  const leave = () => left.abort();
  const watch = (chunk: Buffer) => {
    if (chunk.includes(ESCAPE)) leave();
  };
  stdin.on("data", watch);
  whenEnded(leave);
  stdin.resume();
  try {
    for (;;) {
      const websocket = await dial(cluster, name).catch((error: unknown) => {
        if (!(error instanceof Refusal) || !PASSING_LATER.includes(error.status)) throw error;
      });
      if (websocket !== undefined && !left.signal.aborted) return websocket;
      websocket?.terminate();
      // Only the person's leaving ends it early.
      await backoff.wait(left.signal).catch(() => {
        throw new CliError("left while the console was away", { exitCode: 0 });
      });
    }
  } finally {
    stdin.off("data", watch);
    stdin.off("end", leave);
  }
}

/** Calls `listener` also when standard input has ended while nobody listened: it tells so once. */
function whenEnded(listener: () => void): void {
  process.stdin.once("end", listener);
  if (process.stdin.readableEnded) listener();
}

/** Answers that time may heal: the guest is starting, the agent or the operator is restarting. */
const PASSING: readonly (number | undefined)[] = [400, 500, 502, 503, 504];
/** Also once a console was there: the VM restarts, so that its VMI goes and is missing for a moment; the network is away. */
const PASSING_LATER: readonly (number | undefined)[] = [...PASSING, 404, 409, undefined];

function dial(cluster: Cluster, name: string): Promise<WebSocket> {
  const { namespace } = cluster;
  const resource = "virtualmachineinstances";
  return openStream(cluster, subresourcePath({ namespace, resource, name, subresource: "console" }));
}

/** Joins terminal and console until one of them ends; each side is read only as fast as the other takes it. */
function attach(websocket: WebSocket): Promise<Ending> {
  const { stdin, stdout } = process;
  return new Promise((resolve) => {
    const type = (chunk: Buffer) => {
      const escapeAt = chunk.indexOf(ESCAPE);
      const typed = escapeAt === -1 ? chunk : chunk.subarray(0, escapeAt);
      if (typed.length > 0) websocket.send(typed, () => stdin.resume());
      if (websocket.bufferedAmount > MAX_BUFFERED) stdin.pause();
      if (escapeAt !== -1) inputEnd();
    };
    const inputEnd = () => end({ by: "person" });
    const show = (data: Buffer) => {
      if (stdout.write(data)) return;
      websocket.pause();
      stdout.once("drain", () => websocket.resume());
    };
    const lose = (code: number, reason: Buffer) => end({ by: "server", code, reason: reason.toString() });
    const end = (ending: Ending) => {
      stdin.off("data", type);
      stdin.off("end", inputEnd);
      websocket.off("message", show);
      websocket.off("close", lose);
      websocket.close();
      resolve(ending);
    };
    websocket.on("message", show);
    websocket.once("close", lose);
    websocket.resume();
    stdin.on("data", type);
    stdin.resume();
    whenEnded(inputEnd);
  });
}

/** The guest's shell does the echoing and the line editing, so the terminal must not. */
function rawTerminal(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => {};
  stdin.setRawMode(true);
  return () => stdin.setRawMode(false);
}
