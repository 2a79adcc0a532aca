/** Why nothing can be had of the guest agent. */

export type GuestAgentErrorCode =
  /** No agent has the channel open. */
  | "GuestAgentNotConnected"
  /** The agent's answer is no answer to what was asked. */
  | "GuestAgentAnswerMalformed"
  /** The agent gave no answer in time, or libvirtd has given it up. */
  | "GuestAgentUnresponsive"
  /** The agent refused, in its own words. */
  | "GuestAgentRefused"
  | "GuestAgentBusy";

export class GuestAgentError extends Error {
  override readonly name = "GuestAgentError";
  readonly code: GuestAgentErrorCode;

  constructor(code: GuestAgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
