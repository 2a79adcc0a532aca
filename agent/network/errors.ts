/** Why a pod's network could not be wired: a sentence that names pod and interface, and a stable code. */
import { CodedError } from "../../lib/coded-error.ts";

export type NetworkErrorCode =
  /** The announcement asks for an interface whose name, MAC or number of queues is not acceptable. */
  | "InvalidInterface"
  | "NoSuchInterface"
  | "NoIPv4Address"
  /** The subnet of a guest behind masquerade is the pod network's too. */
  | "SubnetInUse"
  /** The pod's interface has no Ethernet (NOARP, or no MAC): there is nothing to bridge. */
  | "LayerThreeInterface"
  /** The namespace is the node's own: wiring would rename the node's interface. */
  | "HostNetwork"
  | "NamespaceGone"
  /** The pod's network has not been made: there is nothing to look at. */
  | "NotWired"
  /** The namespace was wired before, but what the pod's interface was is no longer known. */
  | "StateLost"
  | "StateUnwritable"
  | "CommandFailed"
  /** Every command succeeded, yet the namespace is not as planned. */
  | "NotConverged";

export class NetworkError extends CodedError<NetworkErrorCode> {
  override readonly name = "NetworkError";
}
