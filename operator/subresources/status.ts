/** Kubernetes `Status` objects: how an API says no, and what kubectl and client-go expect to read. */
import { RequestError } from "../../transport/errors.ts";
import { OperatorError } from "../errors.ts";

export type StatusReason =
  | "BadRequest"
  | "Unauthorized"
  | "Forbidden"
  | "NotFound"
  | "MethodNotAllowed"
  | "Conflict"
  | "TooManyRequests"
  | "InternalError"
  | "ServiceUnavailable";

const CODES: Readonly<Record<StatusReason, number>> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  Conflict: 409,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
};

/** Thrown by a subresource's handler; answered as a Status. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly reason: StatusReason;
  readonly code: number;
  /** Of MethodNotAllowed: the methods there are, separated by commas. */
  readonly allow: string;

  constructor(
    reason: StatusReason,
    message: string,
    { allow = "", ...options }: ErrorOptions & { readonly allow?: string } = {},
  ) {
    super(message, options);
    this.reason = reason;
    this.code = CODES[reason];
    this.allow = allow;
  }
}

export function vmNotFound({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): StatusError {
  const advice = `see kubectl get vm --namespace ${namespace} for those there are`;
  return new StatusError("NotFound", `virtualmachines.kubevirt.io "${name}" not found: ${advice}`);
}

export function statusBody(error: StatusError): string {
  return JSON.stringify({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: error.message,
    reason: error.reason,
    ...detailsOf(error),
    code: error.code,
  });
}

/** What the operator, an agent or a launcher refused with, for programs: the sentence has it for people. */
function detailsOf({ cause, message }: StatusError): object {
  if (!(cause instanceof RequestError || cause instanceof OperatorError)) return {};
  return { details: { causes: [{ reason: cause.code, message }] } };
}
