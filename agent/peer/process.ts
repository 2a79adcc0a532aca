/** A process that is held by its /proc directory. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { AgentError } from "../errors.ts";

/**
 * Refers to one process for as long as it is open: the descriptor of /proc/<pid> stays with the process that it was
 * opened for, and every look through it fails once that has ended, even if another has taken the number.
 */
export class ProcessHandle {
  readonly pid: number;
  readonly #directory: number;
  #open = true;

  /** @throws AgentError PeerGone */
  constructor(pid: number) {
    this.pid = pid;
    try {
      this.#directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (cause) {
      throw new AgentError("PeerGone", `process ${pid} has ended`, { cause });
    }
  }

  /** Path of an entry of the process's /proc directory, for this process (not for its children). */
  path(entry: string): string {
    return `/proc/self/fd/${this.#directory}/${entry}`;
  }

  /** False once it has ended, even before its parent has asked for its exit status (state Z, proc_pid_stat(5)). */
  get isAlive(): boolean {
    try {
      return !/\) [ZX] [^)]*$/.test(readFileSync(this.path("stat"), "utf8"));
    } catch {
      return false;
    }
  }

  /** @throws AgentError PeerGone */
  read(entry: string): string {
    try {
      return readFileSync(this.path(entry), "utf8");
    } catch (cause) {
      throw new AgentError("PeerGone", `process ${this.pid} has ended`, { cause });
    }
  }

  /**
   * A descriptor of its network namespace, which stays valid after the process's end; for the caller to close.
   * @throws AgentError PeerGone
   */
  openNetworkNamespace(): number {
    try {
      return openSync(this.path("ns/net"), "r");
    } catch (cause) {
      throw new AgentError("PeerGone", `the network namespace of process ${this.pid} can't be opened`, {
        cause,
      });
    }
  }

  close(): void {
    if (this.#open) closeSync(this.#directory);
    this.#open = false;
  }
}

/** True while the process of a pidfd has not ended and been reaped (pidfd_open(2): fdinfo then says `Pid: -1`). */
export function isAlive(pidfd: number, pid: number): boolean {
  const info = readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8");
  return new RegExp(`^Pid:\\s*${pid}$`, "m").test(info);
}

/** Device and inode of a namespace file: equal only for the same namespace (namespaces(7)). */
export function namespaceId(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}
