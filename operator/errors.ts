/** Errors of the operator that somebody branches on or reads. */
import { CodedError } from "../lib/coded-error.ts";

export type OperatorErrorCode =
  | "AgentRejected"
  | "AgentNotConnected"
  | "CpuBurstPending"
  | "MalformedStatus"
  | "ForeignInstallation"
  | "InvalidConfiguration"
  | "LaunchSpecTooLarge";

export class OperatorError extends CodedError<OperatorErrorCode> {
  override readonly name = "OperatorError";
}
