/** One request to the API server. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { SUBRESOURCES_GROUP } from "../api/names.ts";
import type { Cluster } from "./cluster.ts";
import { CliError } from "./errors.ts";

const DEADLINE_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** @throws CliError with the server's own sentence where it refuses */
export async function getJson(cluster: Cluster, path: string): Promise<unknown> {
  const { host, body } = await ask(cluster, "GET", path);
  const answer = parsed(body);
  if (answer === undefined) throw new CliError(`${host} answered with something that is no JSON`);
  return answer;
}

/** What is answered beside yes or no is left unread. @throws CliError as getJson */
export async function putJson(cluster: Cluster, path: string, body: object): Promise<void> {
  await ask(cluster, "PUT", path, JSON.stringify(body));
}

interface Answer {
  readonly host: string;
  readonly body: string;
}

async function ask(cluster: Cluster, method: "GET" | "PUT", path: string, body?: string): Promise<Answer> {
  const url = new URL(cluster.server.pathname.replace(/\/$/, "") + path, cluster.server);
  const { status, text } = await exchange(cluster, url, method, body);
  if (status >= 200 && status < 300) return { host: url.host, body: text };
  const message = (parsed(text) as { message?: unknown } | undefined)?.message;
  throw new CliError(typeof message === "string" ? message : unexplained(url.host, status));
}

function unexplained(host: string, status: number): string {
  if (status !== 503) return `${host} answered with status ${status}`;
  // The API server's own words where nobody serves an API that it aggregates.
  return (
    `${host} reaches no operator of virtpod (status 503): try again in a moment, ` +
    `or see kubectl describe apiservice v1.${SUBRESOURCES_GROUP}`
  );
}

async function exchange(
  cluster: Cluster,
  url: URL,
  method: string,
  requestBody: string | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  const credentials = await cluster.credentials();
  const headers = { ...credentials.headers, accept: "application/json", "content-type": "application/json" };
  const start = url.protocol === "http:" ? httpRequest : httpsRequest;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      start(url, { ...credentials, method, headers, signal }, resolve)
        .once("error", reject)
        .end(requestBody);
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer exceeds ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") };
  } catch (cause) {
    const reason = signal.aborted ? `no answer within ${DEADLINE_MS / 1000} s` : (cause as Error).message;
    throw new CliError(`can't reach ${url.host}: ${reason}`, { cause });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
