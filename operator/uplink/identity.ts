/** Who is at the other end of an uplink: decided by the API server's review of the agent's token. */
import { OperatorError } from "../errors.ts";

/** What TokenReview answered (authentication.k8s.io/v1), as far as it matters here. */
export interface TokenReviewResult {
  readonly authenticated: boolean;
  readonly username?: string;
  readonly audiences: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
  readonly error?: string;
}

export interface VerifiedAgent {
  readonly nodeName: string;
  readonly connection: "status" | "streams";
  /** When the token expires, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** Set by the API server for tokens bound to a pod (KEP 4193, Kubernetes 1.32). */
const EXTRA_NODE_NAME = "authentication.kubernetes.io/node-name";

export interface ExpectedAgent {
  /** `system:serviceaccount:<namespace>:virtpod-agent`. */
  readonly username: string;
  readonly audience: string;
}

export interface PresentedIdentity {
  readonly token: string;
  readonly connection: "status" | "streams";
}

/** @throws OperatorError AgentRejected when the answer is no AgentIdentity */
export function parseIdentity(value: unknown): PresentedIdentity {
  if (typeof value === "object" && value !== null) {
    const { token, connection } = value as { token?: unknown; connection?: unknown };
    if (
      typeof token === "string" &&
      token.length < 16 * 1024 &&
      (connection === "status" || connection === "streams")
    ) {
      return { token, connection };
    }
  }
  throw new OperatorError("AgentRejected", "the agent's answer to GET /v1/identity is not an AgentIdentity");
}

/** @throws OperatorError AgentRejected with the reason */
export function verifyAgent(
  presented: PresentedIdentity,
  review: TokenReviewResult,
  expected: ExpectedAgent,
): VerifiedAgent {
  if (!review.authenticated) {
    throw rejected(`the API server did not authenticate its token: ${review.error ?? "no reason given"}`);
  }
  if (!review.audiences.includes(expected.audience)) {
    throw rejected(`its token is not for audience ${expected.audience}`);
  }
  if (review.username !== expected.username) {
    throw rejected(`it is ${review.username ?? "nobody"}, not ${expected.username}`);
  }
  const nodeName = review.extra[EXTRA_NODE_NAME]?.[0];
  if (nodeName === undefined)
    throw rejected(`its token is not bound to a node (${EXTRA_NODE_NAME} is missing)`);
  return { nodeName, connection: presented.connection, expiresAt: tokenExpiry(presented.token) };
}

/** The `exp` claim of a token that the API server has already accepted; that is what makes reading it sound. */
function tokenExpiry(token: string): number {
  try {
    const payload = JSON.parse(
      Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"),
    ) as unknown;
    const { exp } = payload as { exp?: unknown };
    if (typeof exp === "number") return exp * 1000;
  } catch (cause) {
    throw new OperatorError("AgentRejected", "the agent is refused: its token carries no readable claims", {
      cause,
    });
  }
  throw rejected("its token never expires");
}

function rejected(reason: string): OperatorError {
  return new OperatorError("AgentRejected", `the agent is refused: ${reason}`);
}
