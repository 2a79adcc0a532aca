/** Why nothing can be had of the guest agent. */

export type GuestAgentErrorCode =
  /** No agent has the channel open. */
  | "AgentNotConnected"
  /** The agent's answer is no answer to what was asked. */
  | "AgentAnswerMalformed"
  /** The agent gave no answer in time, or libvirtd has given it up. */
  | "AgentUnresponsive"
  /** The agent refused, in its own words. */
  | "AgentRefused"
  | "AgentBusy";

export class GuestAgentError extends Error {
  override readonly name = "GuestAgentError";
  readonly code: GuestAgentErrorCode;

  constructor(code: GuestAgentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
