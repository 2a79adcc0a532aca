/** One request to the API server. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { SUBRESOURCES_GROUP } from "../api/names.ts";
import type { Cluster } from "./cluster.ts";
import { CliError } from "./errors.ts";

const DEADLINE_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** The API server's no. */
export class Refusal extends CliError {
  /** Of HTTP; absent where no answer came. */
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** @throws Refusal with the server's own sentence */
export async function getJson(cluster: Cluster, path: string): Promise<unknown> {
  const answer = await ask(cluster, "GET", path);
  const value = parsed(answer.body.toString("utf8"));
  if (value === undefined) throw new CliError(`${answer.host} answered with something that is no JSON`);
  return value;
}

/** undefined where there is nothing of the name. @throws Refusal as getJson */
export async function findJson(cluster: Cluster, path: string): Promise<unknown> {
  return getJson(cluster, path).catch((error: unknown) => {
    if (error instanceof Refusal && error.status === 404) return undefined;
    throw error;
  });
}

/** @throws Refusal as getJson */
export async function getBytes(cluster: Cluster, path: string): Promise<Buffer> {
  return (await ask(cluster, "GET", path)).body;
}

/** What is answered beside yes or no is left unread. @throws Refusal as getJson */
export async function putJson(
  cluster: Cluster,
  path: string,
  body: object,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  await ask(cluster, "PUT", path, JSON.stringify(body), deadlineMs);
}

/** The answer, undefined where it is no JSON. @throws Refusal as getJson */
export async function sendJson(
  cluster: Cluster,
  method: "POST" | "PUT",
  path: string,
  body: object,
): Promise<unknown> {
  return parsed((await ask(cluster, method, path, JSON.stringify(body))).body.toString("utf8"));
}

/** Where `path` is on the cluster's server, which may itself be below a path. */
export function urlOf(cluster: Cluster, path: string): URL {
  return new URL(cluster.server.pathname.replace(/\/$/, "") + path, cluster.server);
}

/** The server's sentence in a Status object; undefined where `body` is none. */
export function statusMessage(body: string): string | undefined {
  const message = (parsed(body) as { message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : undefined;
}

/** For an answer that brings no sentence of its own. */
export function unexplained(host: string, status: number | undefined): string {
  if (status !== 503) return `${host} answered with status ${status}`;
  // The API server's own words where nobody serves an API that it aggregates.
  return (
    `${host} reaches no operator of virtpod (status 503): try again in a moment, ` +
    `or see kubectl describe apiservice v1.${SUBRESOURCES_GROUP}`
  );
}

/** For a server that gave no answer. @param reason instead of the cause's own */
export function unreachable(host: string, cause: Error, reason?: string): Refusal {
  // Of a host with several addresses, which says nothing itself.
  const all = cause instanceof AggregateError ? (cause.errors as readonly Error[]) : [cause];
  const why = reason ?? all.map(({ message }) => message).join(", ");
  return new Refusal(`can't reach ${host}: ${why}`, undefined, { cause });
}

interface Answer {
  readonly host: string;
  readonly body: Buffer;
}

async function ask(
  cluster: Cluster,
  method: "GET" | "PUT" | "POST",
  path: string,
  requestBody?: string,
  deadlineMs = DEADLINE_MS,
): Promise<Answer> {
  const url = urlOf(cluster, path);
  const { status, body } = await exchange(cluster, url, { method, body: requestBody, deadlineMs });
  if (status >= 200 && status < 300) return { host: url.host, body };
  throw new Refusal(statusMessage(body.toString("utf8")) ?? unexplained(url.host, status), status);
}

async function exchange(
  cluster: Cluster,
  url: URL,
  request: { readonly method: string; readonly body: string | undefined; readonly deadlineMs: number },
): Promise<{ readonly status: number; readonly body: Buffer }> {
  const credentials = await cluster.credentials();
  const headers = { ...credentials.headers, accept: "application/json", "content-type": "application/json" };
  const start = url.protocol === "http:" ? httpRequest : httpsRequest;
  const { body, deadlineMs, method } = request;
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      start(url, { ...credentials, method, headers, signal }, resolve)
        .once("error", reject)
        .end(body);
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer exceeds ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
  } catch (cause) {
    const reason = signal.aborted ? `no answer within ${deadlineMs / 1000} s` : undefined;
    throw unreachable(url.host, cause as Error, reason);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
