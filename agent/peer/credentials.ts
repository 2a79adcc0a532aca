/** Who is on the other end of a unix socket, as the kernel recorded it at connect(2): see unix(7), socket(7). */
import type { Socket } from "node:net";
import { constants } from "node:os";
import koffi from "koffi";
import { AgentError } from "../errors.ts";

// asm-generic/socket.h: the same on every architecture that Node runs on.
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Linux 6.5 and later. */
const SO_PEERPIDFD = 77;

export interface PeerCredentials {
  /** In the agent's own pid namespace; it needs the node's to see the pods' processes. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

// The symbol is the one that the running Node binary itself is linked to.
const getsockopt = koffi
  .load(null)
  .func("int getsockopt(int fd, int level, int name, _Out_ int32_t *value, _Inout_ uint32_t *length)");

/** @throws AgentError PeerUnknown */
export function peerCredentials(socket: Socket): PeerCredentials {
  const value = new Int32Array(3);
  if (!readOption(socket, SO_PEERCRED, value)) {
    throw new AgentError("PeerUnknown", "the kernel tells no credentials for the connection");
  }
  const [pid = 0, uid = -1, gid = -1] = value;
  if (pid <= 0) {
    throw new AgentError(
      "PeerUnknown",
      "the caller is in no process namespace that the agent sees: run the agent with hostPID",
    );
  }
  return { pid, uid, gid };
}

/**
 * A file descriptor for the peer's process, for the caller to close; undefined where the kernel has no such option.
 * @throws AgentError PeerGone where it has, and the peer has ended
 */
export function peerPidfd(socket: Socket): number | undefined {
  const value = new Int32Array(3);
  if (readOption(socket, SO_PEERPIDFD, value)) return value[0];
  if (koffi.errno() === constants.errno.ENOPROTOOPT) return undefined;
  throw new AgentError("PeerGone", "the caller has ended");
}

function readOption(socket: Socket, option: number, value: Int32Array): boolean {
  const length = option === SO_PEERCRED ? 12 : 4;
  return getsockopt(descriptor(socket), SOL_SOCKET, option, value, [length]) === 0;
}

/** Node has no public way to a socket's descriptor. */
function descriptor(socket: Socket): number {
  const handle = (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle;
  const fd = handle?.fd;
  if (fd === undefined || fd < 0) throw new AgentError("PeerGone", "the connection is closed");
  return fd;
}
