/** Errors of the connections between operator, agent and launcher. */
import { CodedError } from "../lib/coded-error.ts";

/** Thrown by a handler to answer a request with `status` and an ErrorBody; thrown by a client that got one. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;
  /** Stable, e.g. `LauncherNotConnected`. */
  readonly code: string;

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = code;
  }
}

export type TransportErrorCode =
  | "ConnectionClosed"
  | "DeadlineExceeded"
  | "LineTooLong"
  | "BodyTooLarge"
  | "MalformedJson";

/** The connection or the peer's bytes failed, not the request as such. */
export class TransportError extends CodedError<TransportErrorCode> {
  override readonly name = "TransportError";
}
