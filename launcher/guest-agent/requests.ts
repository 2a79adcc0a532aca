/** A failure of the guest agent as the answer to a request. */
import { RequestError } from "../../transport/errors.ts";
import type { GuestAgentError, GuestAgentErrorCode } from "./errors.ts";

const STATUS: Readonly<Record<GuestAgentErrorCode, number>> = {
  GuestAgentNotConnected: 409,
  GuestAgentUnresponsive: 503,
  GuestAgentBusy: 503,
  GuestAgentRefused: 500,
  GuestAgentAnswerMalformed: 500,
};

export function answering(cause: GuestAgentError): RequestError {
  return new RequestError(STATUS[cause.code], cause.code, cause.message, { cause });
}
