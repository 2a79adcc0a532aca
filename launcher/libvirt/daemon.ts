/** libvirtd's process in session mode: one daemon for one launcher, everything it writes below one directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { connectWhenServed } from "../unix-socket.ts";
import { LibvirtError } from "./errors.ts";
import { libvirtdConf, qemuConf } from "./settings.ts";

/** By absolute path: libvirt's capability cache is tied to the ctime of argv[0], and PATH is not searched for it. */
export const LIBVIRTD = "/usr/sbin/libvirtd";
/** From the spawn to the socket: 40–70 ms on an idle machine. */
export const START_TIMEOUT_MS = 20_000;
/** From SIGTERM to SIGKILL; an idle daemon takes about 10 ms. */
const STOP_TIMEOUT_MS = 3_000;
/** Lines of the daemon's log that are kept for the error of a failed start. */
const KEPT_LINES = 5;
const MAX_LINE_CHARACTERS = 1_000;

export interface LibvirtDaemonOptions {
  /** Where it keeps sockets, state, caches and logs; made when absent. The daemon's user must be able to write it. */
  readonly runtimeDirectory: string;
  /** Folder of capability caches (`<sha256>.xml`) to start from; one that is absent costs time only. */
  readonly capabilities?: string;
  /** `LIBVIRTD` unless told. */
  readonly program?: string;
  /** Whom the daemon runs as; the directories become theirs. This process's user unless told. Never root: a daemon
   * of root's isn't in session mode. It must have an entry in /etc/passwd. */
  readonly user?: DaemonUser;
  /** Told of each line of the daemon's log: warnings and errors. */
  readonly onLogLine?: (line: string) => void;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface DaemonUser {
  readonly uid: number;
  readonly gid: number;
}

export interface LibvirtDaemon {
  readonly pid: number;
  readonly socketPath: string;
  /** Resolves when the process has ended, with a sentence that says how. Domains go on without it. */
  readonly exited: Promise<string>;
  /** Ends it by SIGTERM, by SIGKILL after a deadline; domains go on. Resolves when it is gone. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts libvirtd and waits until its socket answers. Started again with the same directory it finds the domains
 * that its predecessor left.
 * @throws LibvirtError `LibvirtStart`; the signal's reason when it aborts first
 */
export async function startLibvirtDaemon(options: LibvirtDaemonOptions): Promise<LibvirtDaemon> {
  const {
    runtimeDirectory,
    program = LIBVIRTD,
    user,
    timeoutMs = START_TIMEOUT_MS,
    signal,
    onLogLine,
  } = options;
  const paths = daemonPaths(runtimeDirectory);
  await prepareDirectories(paths);
  if (options.capabilities !== undefined) await copyCapabilities(options.capabilities, paths.capabilities);
  if (user !== undefined) await changeOwner(paths, user);
  signal?.throwIfAborted();

  const child = spawn(program, ["--config", paths.libvirtdConf], {
    ...user,
    env: environment(paths),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = Promise.withResolvers<string>();
  const lastLines: string[] = [];
  readLines(child, (line) => {
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
    onLogLine?.(line);
  });
  child.once("error", (error) => ended.resolve(`can't be run: ${error.message}`));
  child.once("exit", (code, signalName) => {
    ended.resolve(code === null ? `was ended by ${signalName}` : `ended with exit code ${code}`);
  });
  const exited = ended.promise;
  const stop = () => stopProcess(child, exited);

  const deadline = AbortSignal.timeout(timeoutMs);
  const died = new AbortController();
  const wait = AbortSignal.any([deadline, died.signal, ...(signal === undefined ? [] : [signal])]);
  void exited.then(() => died.abort());
  try {
    const socket = await connectWhenServed(paths.socket, wait);
    socket.destroy();
  } catch (cause) {
    const end = died.signal.aborted ? await exited : undefined;
    await stop();
    if (signal?.aborted === true) throw signal.reason;
    const why = end ?? `served no socket within ${timeoutMs} ms`;
    const log = lastLines.length > 0 ? `; its last words: ${lastLines.join(" | ")}` : "";
    throw new LibvirtError("LibvirtStart", `libvirtd ${why}${log}`, { cause });
  }
  return { pid: child.pid ?? -1, socketPath: paths.socket, exited, stop };
}

/** Where the daemon with this runtime directory keeps what others need to find. */
export function daemonPaths(runtimeDirectory: string): DaemonPaths {
  const config = join(runtimeDirectory, "config");
  const cache = join(runtimeDirectory, "cache");
  const run = join(runtimeDirectory, "run");
  return {
    home: runtimeDirectory,
    config,
    cache,
    run,
    socket: join(run, "libvirt", "libvirt-sock"),
    libvirtdConf: join(config, "libvirt", "libvirtd.conf"),
    qemuConf: join(config, "libvirt", "qemu.conf"),
    capabilities: join(cache, "libvirt", "qemu", "cache", "capabilities"),
  };
}

export interface DaemonPaths {
  readonly home: string;
  /** The XDG folders. */
  readonly config: string;
  readonly cache: string;
  readonly run: string;
  readonly socket: string;
  readonly libvirtdConf: string;
  readonly qemuConf: string;
  /** libvirt's capability cache. */
  readonly capabilities: string;
}

async function prepareDirectories(paths: DaemonPaths): Promise<void> {
  await Promise.all([
    mkdir(join(paths.config, "libvirt"), { recursive: true }),
    mkdir(paths.capabilities, { recursive: true }),
    // Watched for the socket, so it must be there before the daemon is.
    mkdir(join(paths.run, "libvirt"), { recursive: true }),
  ]);
  // XDG: the runtime folder is its owner's alone; it is also what keeps others from the socket.
  await chmod(paths.run, 0o700);
  await Promise.all([writeFile(paths.libvirtdConf, libvirtdConf()), writeFile(paths.qemuConf, qemuConf())]);
}

async function changeOwner(paths: DaemonPaths, { uid, gid }: DaemonUser): Promise<void> {
  const made = [paths.home, paths.config, paths.cache, paths.run, paths.capabilities];
  for (const path of [paths.socket, paths.libvirtdConf, paths.capabilities]) {
    for (let folder = dirname(path); folder !== paths.home; folder = dirname(folder)) made.push(folder);
  }
  await Promise.all(made.map((path) => chown(path, uid, gid)));
}

/** Copies what is there; libvirt checks each file and drops one that doesn't fit. */
async function copyCapabilities(from: string, to: string): Promise<void> {
  const names = await readdir(from).catch(() => []);
  const files = names.filter((name) => name.endsWith(".xml"));
  await Promise.all(files.map((name) => copyFile(join(from, name), join(to, name)).catch(() => {})));
}

/** Nothing of the launcher's own environment: qemu inherits what libvirtd gets. */
function environment(paths: DaemonPaths): NodeJS.ProcessEnv {
  return {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C",
    HOME: paths.home,
    XDG_RUNTIME_DIR: paths.run,
    XDG_CONFIG_HOME: paths.config,
    XDG_CACHE_HOME: paths.cache,
    XDG_DATA_HOME: join(paths.home, "data"),
  };
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  if (child.stderr === null) return;
  const lines = createInterface({ input: child.stderr });
  lines.on("line", (line) => onLine(line.slice(0, MAX_LINE_CHARACTERS)));
  lines.on("error", () => {});
}

async function stopProcess(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}
