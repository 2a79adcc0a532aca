/**
 * A launcher in a container without a container runtime: the launcher image's own root file system, pid and mount
 * namespaces of its own, tini as PID 1. Together with a fake agent it is everything a launcher sees of a node.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import type { DomainEnd, LauncherStatus } from "../../api/launcher-protocol.ts";
import { ENV_LAUNCH_SPEC, LAUNCHER_UID } from "../../api/names.ts";
import { Http2Client } from "../../transport/client.ts";

const REPOSITORY = dirname(dirname(import.meta.dirname));
const FOLDERS = ["agent", "runtime", "scratch", "volumes", "kernel-boot"] as const;

export interface ContainerOptions {
  /** Unpacked layers of the launcher image. */
  readonly root: string;
  readonly spec: LaunchSpec;
  /** Makes the scratch folder a tmpfs of this size, instead of a folder of this machine's. */
  readonly scratchBytes?: number;
  /** Copies what the pod's volumes would hold; paths are those outside of the container. */
  readonly fill?: (folder: (name: (typeof FOLDERS)[number]) => string) => Promise<void>;
}

export class Container {
  readonly #work: string;
  readonly #process: ChildProcess;
  readonly #agent: Server;
  #stdout = "";
  #stderr = "";
  readonly #exit: Promise<number>;

  private constructor(work: string, process: ChildProcess, agent: Server) {
    this.#work = work;
    this.#process = process;
    this.#agent = agent;
    process.stdout?.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString("latin1");
    });
    process.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.#exit = once(process, "close").then(([code]) => Number(code ?? -1));
  }

  static async start(options: ContainerOptions): Promise<Container> {
    const work = await mkdtemp(join(tmpdir(), "launcher-"));
    await chmod(work, 0o755);
    for (const folder of FOLDERS) {
      await mkdir(join(work, folder));
      await chown(join(work, folder), LAUNCHER_UID, LAUNCHER_UID);
    }
    await writeFile(join(work, "termination-log"), "");
    await chmod(join(work, "termination-log"), 0o666);
    await options.fill?.((name) => join(work, name));
    const agent = await listen(join(work, "agent", "agent.sock"));
    const script = join(import.meta.dirname, "enter-container.sh");
    const child = spawn(
      "unshare",
      ["--mount", "--pid", "--fork", "sh", script, options.root, REPOSITORY, work],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
          HOME: "/",
          [ENV_LAUNCH_SPEC]: JSON.stringify(options.spec),
          SCRATCH_BYTES: String(options.scratchBytes ?? ""),
        },
      },
    );
    return new Container(work, child, agent);
  }

  /** The guest's console as `kubectl logs` shows it. */
  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The launcher's next connection, as the agent sees it. */
  async connection(deadlineMs = 10_000): Promise<Http2Client> {
    const [socket] = (await once(this.#agent, "connection", { signal: AbortSignal.timeout(deadlineMs) })) as [
      Socket,
    ];
    return new Http2Client(socket);
  }

  /** Waits until the console's log matches. */
  async printed(pattern: RegExp, deadlineMs = 60_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      if (pattern.test(this.#stdout)) resolve();
    };
    const overdue = () =>
      reject(new Error(`the console never showed ${pattern}:\n${this.#stdout}\n${this.#stderr}`));
    const deadline = setTimeout(overdue, deadlineMs);
    this.#process.stdout?.on("data", look).once("end", overdue);
    look();
    try {
      await promise;
    } finally {
      clearTimeout(deadline);
      this.#process.stdout?.off("data", look).off("end", overdue);
    }
  }

  /** Sends the container's PID 1 what the kubelet sends it. */
  async stop(): Promise<void> {
    const [init] = await children(this.#process.pid ?? 0);
    if (init !== undefined) process.kill(init, "SIGTERM");
  }

  /** Processes inside the container whose command line begins with `name`, as this machine numbers them. */
  async processes(name: string): Promise<readonly number[]> {
    const [init] = await children(this.#process.pid ?? 0);
    const all = init === undefined ? [] : await descendants(init);
    const named = await Promise.all(
      all.map(async (pid) => ((await commandLine(pid)).split("/").at(-1)?.startsWith(name) ? [pid] : [])),
    );
    return named.flat();
  }

  /** A path inside of the container as this machine sees it. */
  async path(inside: string): Promise<string> {
    const [init] = await children(this.#process.pid ?? 0);
    return join(`/proc/${init}/root`, inside);
  }

  /** Resolves with the container's exit code. */
  async exited(deadlineMs = 30_000): Promise<number> {
    const overdue = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => overdue.reject(new Error(`the container still runs after ${deadlineMs} ms:\n${this.#stderr}`)),
      deadlineMs,
    );
    try {
      return await Promise.race([this.#exit, overdue.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<DomainEnd> {
    return JSON.parse(await readFile(join(this.#work, "termination-log"), "utf8")) as DomainEnd;
  }

  /** Ends whatever is left of it. */
  async remove(): Promise<void> {
    this.#agent.close();
    // The kernel ends a pid namespace with its PID 1. (--kill-child is undone by the change of uid: prctl(2).)
    const [init] = await children(this.#process.pid ?? 0);
    if (init !== undefined) process.kill(init, "SIGKILL");
    this.#process.kill("SIGKILL");
    await this.#exit;
    await rm(this.#work, { recursive: true, force: true });
  }
}

/** Reads the status until it is as asked for. */
export async function statusWhere(
  client: Http2Client,
  isWanted: (status: LauncherStatus) => boolean,
  deadlineMs = 30_000,
): Promise<LauncherStatus> {
  let last: unknown;
  for await (const line of client.lines("/v1/status", { signal: AbortSignal.timeout(deadlineMs) })) {
    last = line;
    if (isWanted(line as LauncherStatus)) return line as LauncherStatus;
  }
  throw new Error(`the status never was as expected; the last one: ${JSON.stringify(last)}`);
}

async function listen(path: string): Promise<Server> {
  const server = createServer().listen({ path, readableAll: true, writableAll: true });
  await once(server, "listening");
  return server;
}

async function children(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").flatMap((word) => (word.trim() === "" ? [] : [Number(word)]));
}

async function descendants(pid: number): Promise<readonly number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    tasks.map(async (task) =>
      (await readFile(`/proc/${pid}/task/${task}/children`, "utf8").catch(() => "")).split(" "),
    ),
  );
  const direct = lists.flat().flatMap((word) => (word.trim() === "" ? [] : [Number(word)]));
  return [...direct, ...(await Promise.all(direct.map(descendants))).flat()];
}

async function commandLine(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return text.split("\0", 1)[0] ?? "";
}
