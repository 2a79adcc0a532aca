/** Errors of the operator that somebody branches on or reads. */

export type OperatorErrorCode =
  | "AgentRejected"
  | "AgentNotConnected"
  | "MalformedStatus"
  | "ForeignInstallation"
  | "InvalidConfiguration"
  | "LaunchSpecTooLarge";

export class OperatorError extends Error {
  override readonly name = "OperatorError";
  readonly code: OperatorErrorCode;

  constructor(code: OperatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
