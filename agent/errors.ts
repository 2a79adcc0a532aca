/** Errors of the agent: a sentence for people, a stable code for programs. */
import { CodedError } from "../lib/coded-error.ts";

export type AgentErrorCode =
  /** The kernel does not say who is on the other end of a socket. */
  | "PeerUnknown"
  /** The caller is a process of the node, not of a pod. */
  | "PeerNotInPod"
  /** The caller's network namespace is the node's or the agent's own. */
  | "PeerOnHostNetwork"
  /** The caller ended, or another process has taken its number. */
  | "PeerGone"
  /** The caller does not run as the user that launchers run as. */
  | "PeerNotLauncher"
  /** One pod holds more connections than a launcher needs. */
  | "TooManyConnections"
  /** One pod connects again and again. */
  | "TooManyAttempts"
  /** The operator has not announced the caller's pod in time. */
  | "NotAnnounced"
  /** A device node in the container is not one of the container's own. */
  | "DeviceRefused"
  /** The operator sent an announcement that does not have the agreed shape. */
  | "InvalidAnnouncement"
  /** A launcher sent a status that does not have the agreed shape. */
  | "InvalidStatus"
  /** A newer leader has announced already. */
  | "StaleTerm"
  /** The kubelet did not accept a device plugin. */
  | "RegistrationFailed"
  /** A file of a cgroup does not hold what the kernel writes there. */
  | "CgroupUnreadable"
  /** What is about to be raised could not be written down. */
  | "RecordFailed"
  /** A protobuf message is cut short or malformed. */
  | "MalformedMessage";

export class AgentError extends CodedError<AgentErrorCode> {
  override readonly name = "AgentError";
}

/** The code of a failed system call (`ENOENT` …), or undefined for any other error. */
export function errno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
