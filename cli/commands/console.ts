/** `virtpod console NAME`: the guest's serial console in this terminal. */
import { WebSocket } from "ws";
import { Backoff } from "../../lib/backoff.ts";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { subresourcePath } from "../subresource.ts";

export interface ConsoleFlags extends ClusterFlags {
  /** Seconds until the console must have answered the first time. */
  readonly timeout: number;
}

/** Ctrl+], as telnet and virsh have it. */
const ESCAPE = 0x1d;
const PROTOCOL = "plain.kubevirt.io";
/** Bytes typed that may wait for the network before reading from the terminal pauses. */
const MAX_BUFFERED = 256 * 1024;

type Ending = "escaped" | "input ended" | "lost";

/** Resolves when the person leaves with Ctrl+] or standard input ends. @throws CliError */
export async function console_(name: string, flags: ConsoleFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const target = `${cluster.namespace}/${name}`;
  const backoff = new Backoff({ initialMs: 250, maxMs: 10_000, resetAfterMs: 60_000 });
  const say = (line: string) => process.stderr.write(`${line}\r\n`);
  let websocket = await firstConnection(cluster, name, flags.timeout * 1000);
  say(`Connected to the console of ${target}. The escape sequence is ^]`);
  const restore = rawTerminal();
  try {
    for (;;) {
      const ending = await attach(websocket);
      if (ending !== "lost") return;
      say(`\r\nThe connection to ${target} was lost, connecting again; ^] leaves`);
      // Not reset: two clients that take a console from each other give way more and more slowly.
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
  let told = "";
  for (;;) {
    try {
      return await dial(cluster, name);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!PASSING.includes(error.status)) throw new CliError(error.message, { cause: error });
      const waitMs = backoff.next();
      if (error.message !== told) process.stderr.write(`waiting: ${error.message}\n`);
      told = error.message;
      if (Date.now() + waitMs > started + timeoutMs) throw new CliError(error.message, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

/** Tries until it succeeds or the person presses Ctrl+]. @throws CliError when they do */
async function reconnect(cluster: Cluster, name: string, backoff: Backoff): Promise<WebSocket> {
  const left = new AbortController();
  const watch = (chunk: Buffer) => {
    if (chunk.includes(ESCAPE)) left.abort();
  };
  process.stdin.on("data", watch);
  process.stdin.resume();
  try {
    for (;;) {
      if (left.signal.aborted) throw new CliError("left while the console was away", { exitCode: 0 });
      try {
        return await dial(cluster, name);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (!PASSING_LATER.includes(error.status)) throw new CliError(error.message, { cause: error });
        await Promise.race([
          new Promise((resolve) => setTimeout(resolve, backoff.next())),
          new Promise((resolve) => left.signal.addEventListener("abort", resolve, { once: true })),
        ]);
      }
    }
  } finally {
    process.stdin.off("data", watch);
  }
}

/** No console now; `status` is the server's answer, undefined when it could not be reached. */
class Refusal extends Error {
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** Answers that time may heal: the guest is starting, the agent or the operator is restarting. */
const PASSING: readonly (number | undefined)[] = [409, 500, 502, 503, 504];
/** Also once a console was there: the VM restarts, so that its VMI is missing for a moment; the network is away. */
const PASSING_LATER: readonly (number | undefined)[] = [...PASSING, 404, undefined];

async function dial(cluster: Cluster, name: string): Promise<WebSocket> {
  const { namespace } = cluster;
  const path = subresourcePath({
    namespace,
    resource: "virtualmachineinstances",
    name,
    subresource: "console",
  });
  const url = new URL(cluster.server.pathname.replace(/\/$/, "") + path, cluster.server);
  url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
  const { headers, ...tls } = await cluster.credentials();
  const websocket = new WebSocket(url, PROTOCOL, { ...tls, headers: headers as Record<string, string> });
  return new Promise((resolve, reject) => {
    websocket.once("open", () => resolve(websocket));
    websocket.once("error", (cause) =>
      reject(new Refusal(`can't reach ${url.host}: ${cause.message}`, undefined, { cause })),
    );
    websocket.once("unexpected-response", (_request, response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () => {
        const message =
          statusMessage(Buffer.concat(chunks).toString("utf8")) ?? `status ${response.statusCode}`;
        reject(new Refusal(message, response.statusCode));
      });
    });
  });
}

function statusMessage(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
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
      if (escapeAt !== -1) end("escaped");
    };
    const inputEnd = () => end("input ended");
    const show = (data: Buffer) => {
      if (stdout.write(data)) return;
      websocket.pause();
      stdout.once("drain", () => websocket.resume());
    };
    const lose = () => end("lost");
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
    websocket.on("error", () => {});
    stdin.on("data", type);
    stdin.once("end", inputEnd);
    stdin.resume();
  });
}

/** The guest's shell does the echoing and the line editing, so the terminal must not. */
function rawTerminal(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => {};
  stdin.setRawMode(true);
  return () => stdin.setRawMode(false);
}
