/** libvirtd's process in session mode: one daemon for one launcher, everything it writes below one directory. */
import { chmod, chown, copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ServedProcess, startServedProcess } from "../served-process.ts";
import { LibvirtError } from "./errors.ts";
import { libvirtdConf, qemuConf } from "./settings.ts";

/** By absolute path: libvirt's capability cache is tied to the ctime of argv[0], and PATH is not searched for it. */
export const LIBVIRTD = "/usr/sbin/libvirtd";
/** From the spawn to the socket: 40–70 ms on an idle machine. */
export const START_TIMEOUT_MS = 20_000;

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

/** Domains go on without it. */
export interface LibvirtDaemon extends ServedProcess {
  readonly socketPath: string;
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
  const { socket } = paths;
  const served = await startServedProcess({
    program,
    args: ["--config", paths.libvirtdConf],
    env: environment(paths),
    ...(user !== undefined && { user }),
    socket,
    timeoutMs,
    ...(signal !== undefined && { signal }),
    ...(onLogLine !== undefined && { onLogLine }),
    failed: (end, cause) => new LibvirtError("LibvirtStart", `libvirtd ${end}`, { cause }),
  });
  return { ...served, socketPath: socket };
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
