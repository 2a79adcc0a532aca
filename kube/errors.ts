/** Every failure of a request to the API server as a type that callers branch on. */

/** One field of an object that the API server refused. */
export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  /** Path of the field, e.g. `spec.runStrategy`. */
  readonly field?: string;
}

/** The API server's answer to a request that failed. */
export interface Status {
  readonly status?: string;
  readonly message?: string;
  /** CamelCase word that tells apart failures of the same code. */
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
}

export interface KubeErrorOptions {
  readonly cause?: unknown;
  /** HTTP status, when there was an answer. */
  readonly statusCode?: number;
  readonly status?: Status;
  /** How long the server asks to wait, in ms. */
  readonly retryAfterMs?: number;
}

/** Base of all errors of `kube/`. `code` is stable; messages are for people. */
export class KubeError extends Error {
  readonly code: string = "KUBE_ERROR";
  readonly statusCode: number | undefined;
  readonly status: Status | undefined;
  /** Milliseconds the server asks to wait before another try; undefined when it says nothing. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.statusCode = options.statusCode;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }

  get causes(): readonly StatusCause[] {
    return this.status?.details?.causes ?? [];
  }
}

/** 400: the request makes no sense to the server. */
export class BadRequestError extends KubeError {
  override readonly code = "KUBE_BAD_REQUEST";
}
/** 401: no or stale credentials. */
export class UnauthorizedError extends KubeError {
  override readonly code = "KUBE_UNAUTHORIZED";
}
/** 403: RBAC, admission or quota says no. */
export class ForbiddenError extends KubeError {
  override readonly code = "KUBE_FORBIDDEN";
}
/** 404: no such object, or no such resource (a CRD not installed). */
export class NotFoundError extends KubeError {
  override readonly code = "KUBE_NOT_FOUND";
}
/** 409 Conflict: the object changed since it was read, or a field has another owner in server-side apply. */
export class ConflictError extends KubeError {
  override readonly code = "KUBE_CONFLICT";

  /** True when another owns fields that an apply without `force` wants; reading anew does not help then. */
  get isAboutFields(): boolean {
    return this.causes.some(({ reason }) => reason === "FieldManagerConflict");
  }
}
/** 409 AlreadyExists: the name is taken. */
export class AlreadyExistsError extends KubeError {
  override readonly code = "KUBE_ALREADY_EXISTS";
}
/** 410: the resourceVersion or the page's continue token is too old. */
export class GoneError extends KubeError {
  override readonly code = "KUBE_GONE";
}
/** 422: a field has an invalid value; see `causes`. */
export class InvalidError extends KubeError {
  override readonly code = "KUBE_INVALID";
}
/** 429: too many requests, or an eviction that a disruption budget forbids; see `retryAfterMs`. */
export class ThrottledError extends KubeError {
  override readonly code = "KUBE_THROTTLED";
}
/** 504 or Timeout from the server, or our own deadline. The write may or may not have happened. */
export class TimeoutError extends KubeError {
  override readonly code = "KUBE_TIMEOUT";
}
/** 5xx other than Timeout. */
export class ServerError extends KubeError {
  override readonly code = "KUBE_SERVER_ERROR";
}
/** No answer: the connection could not be made or broke. The write may or may not have happened. */
export class ConnectionError extends KubeError {
  override readonly code = "KUBE_CONNECTION";
}
/** An answer that is not Kubernetes's: HTML, cut JSON, a line above the limit. */
export class ProtocolError extends KubeError {
  override readonly code = "KUBE_PROTOCOL";
}
/** kubeconfig or in-cluster files that can't be used. */
export class ConfigError extends KubeError {
  override readonly code = "KUBE_CONFIG";
}

type ErrorClass = new (message: string, options?: KubeErrorOptions) => KubeError;

/** `reason` decides before the code does: 409 and 500 stand for several things each. */
const BY_REASON: { readonly [reason: string]: ErrorClass | undefined } = {
  BadRequest: BadRequestError,
  Unauthorized: UnauthorizedError,
  Forbidden: ForbiddenError,
  NotFound: NotFoundError,
  Conflict: ConflictError,
  AlreadyExists: AlreadyExistsError,
  Expired: GoneError,
  Gone: GoneError,
  Invalid: InvalidError,
  TooManyRequests: ThrottledError,
  Timeout: TimeoutError,
  ServerTimeout: TimeoutError,
};

const BY_CODE: { readonly [code: number]: ErrorClass | undefined } = {
  400: BadRequestError,
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  410: GoneError,
  422: InvalidError,
  429: ThrottledError,
  504: TimeoutError,
};

/**
 * The typed error of a failed answer.
 * @param action what was being done on what: "create pods default/vm-a"
 * @param retryAfter value of the Retry-After header in seconds, if any
 */
export function errorFromStatus(
  action: string,
  statusCode: number,
  status: Status | undefined,
  retryAfter?: string,
): KubeError {
  const seconds =
    status?.details?.retryAfterSeconds ?? (retryAfter === undefined ? Number.NaN : Number(retryAfter));
  const options: KubeErrorOptions = {
    statusCode,
    ...(status !== undefined && { status }),
    ...(Number.isFinite(seconds) && seconds >= 0 && { retryAfterMs: seconds * 1000 }),
  };
  const fallback = statusCode >= 500 ? ServerError : KubeError;
  const Class = BY_REASON[status?.reason ?? ""] ?? BY_CODE[statusCode] ?? fallback;
  return new Class(
    `${action}: ${status?.message ?? "no message"} (${statusCode} ${status?.reason ?? ""})`,
    options,
  );
}

/** True for failures that the same request may not meet again: throttled, timeout, 5xx, broken connection. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof ThrottledError ||
    error instanceof TimeoutError ||
    error instanceof ServerError ||
    error instanceof ConnectionError ||
    error instanceof ProtocolError
  );
}

const REFUSALS: readonly (number | undefined)[] = [400, 403, 413, 422];
/** The API server's words for a webhook that says no, or that can't be asked. */
const BY_WEBHOOK = /\b(admission|failed calling) webhook "/;

/**
 * True where the server, a quota, a policy or a webhook says no to what was asked, so that somebody has to do something.
 * A webhook chooses its code, and one that fails has 500: its name tells it from what passes by itself, as an etcd that
 * is slow does.
 */
export function isRefusal(error: unknown): error is KubeError {
  if (!(error instanceof KubeError)) return false;
  return REFUSALS.includes(error.statusCode) || BY_WEBHOOK.test(error.status?.message ?? "");
}

/** For `promise.catch(ignoreNotFound)`: undefined instead of NotFound; any other error is thrown on. */
export function ignoreNotFound(error: unknown): undefined {
  if (error instanceof NotFoundError) {
    return undefined;
  }
  throw error;
}
