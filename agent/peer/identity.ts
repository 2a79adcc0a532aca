/** Which pod's launcher dialled the agent's socket. Nothing that the caller sends has a part in the answer. */
import { closeSync, openSync } from "node:fs";
import type { Socket } from "node:net";
import { LAUNCHER_UID } from "../../api/names.ts";
import { AgentError } from "../errors.ts";
import { parseCgroup } from "./cgroup.ts";
import { peerCredentials, peerPidfd } from "./credentials.ts";
import { isAlive, namespaceId, ProcessHandle } from "./process.ts";

/** The caller; holds its process and its network namespace until it is closed. */
export class Peer {
  readonly podUid: string;
  readonly containerId: string;
  readonly process: ProcessHandle;
  readonly #networkNamespace: number;
  #open = true;

  constructor(podUid: string, containerId: string, process: ProcessHandle, networkNamespace: number) {
    this.podUid = podUid;
    this.containerId = containerId;
    this.process = process;
    this.#networkNamespace = networkNamespace;
  }

  /** Path of the held namespace, good for the agent's children too. */
  get networkNamespacePath(): string {
    return `/proc/${process.pid}/fd/${this.#networkNamespace}`;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#networkNamespace);
    this.process.close();
  }
}

/**
 * Identifies the process at the other end of an accepted connection.
 *
 * The pid of SO_PEERCRED was recorded at connect(2) and may be another process's by now. So /proc/<pid> is opened
 * first, and then the pidfd of the connection must still be alive: while it is, the number can't have been reused.
 * Kernels before 6.5 have no such pidfd; there the answer is about whoever has the number now.
 *
 * @param forbiddenNamespaces namespaceId() of the node's network and the agent's: a hostNetwork pod may ask for the
 *   launcher device too, and wiring it would rename the node's own interface
 * @throws AgentError PeerUnknown, PeerGone, PeerNotLauncher, PeerNotInPod, PeerOnHostNetwork
 */
export function identifyPeer(socket: Socket, forbiddenNamespaces: ReadonlySet<string>): Peer {
  const { pid, uid } = peerCredentials(socket);
  const caller = new ProcessHandle(pid);
  try {
    requireSameProcess(socket, pid);
    if (uid !== LAUNCHER_UID) {
      throw new AgentError(
        "PeerNotLauncher",
        `process ${pid} runs as uid ${uid}, launchers run as ${LAUNCHER_UID}`,
      );
    }
    const container = parseCgroup(caller.read("cgroup"));
    if (container === undefined) {
      throw new AgentError("PeerNotInPod", `process ${pid} belongs to no container of a pod`);
    }
    const namespace = caller.openNetworkNamespace();
    if (forbiddenNamespaces.has(namespaceId(namespace))) {
      closeSync(namespace);
      throw new AgentError("PeerOnHostNetwork", `pod ${container.podUid} is on the node's own network`);
    }
    return new Peer(container.podUid, container.containerId, caller, namespace);
  } catch (error) {
    caller.close();
    throw error;
  }
}

/** namespaceId() of a namespace file, such as /proc/1/ns/net. */
export function namespaceIdOf(path: string): string {
  const fd = openSync(path, "r");
  try {
    return namespaceId(fd);
  } finally {
    closeSync(fd);
  }
}

function requireSameProcess(socket: Socket, pid: number): void {
  const pidfd = peerPidfd(socket);
  if (pidfd === undefined) return;
  try {
    if (!isAlive(pidfd, pid)) throw new AgentError("PeerGone", `process ${pid} has ended`);
  } finally {
    closeSync(pidfd);
  }
}
