import { applyJsonPatch, applyMergePatch, type Json, type JsonObject, type Operation } from "./json.ts";
import { matcher } from "./selector.ts";
import { badRequest, Refusal } from "./status.ts";
import type { Collection } from "./storage.ts";
import type { WatchStream } from "./watch.ts";
import type { DeleteRequest } from "./writes.ts";

export interface FakeRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** What the fake answers: JSON, a watch, or any text with any code. */
export type FakeResponse =
  | {
      readonly statusCode: number;
      readonly body: object;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly statusCode: number;
      readonly text: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly statusCode: 200;
      readonly watch: WatchStream;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** Sees each request first; what it returns is the answer, undefined leaves it to the server. */
export type Intercept = (
  request: FakeRequest,
) => FakeResponse | undefined | Promise<FakeResponse | undefined>;

export function patch(contentType: string, stored: Json, body: Json): Json {
  if (contentType.startsWith("application/merge-patch+json")) {
    return applyMergePatch(stored, body);
  }
  if (contentType.startsWith("application/json-patch+json")) {
    try {
      return applyJsonPatch(stored, body as unknown as Operation[]);
    } catch (error) {
      throw new Refusal(
        422,
        "Invalid",
        `the server rejected our request due to an error in our request: ${error}`,
      );
    }
  }
  throw new Refusal(415, "UnsupportedMediaType", `the fake does not know patches of type ${contentType}`);
}

export function parse(body: string): JsonObject {
  try {
    return JSON.parse(body === "" ? "{}" : body) as JsonObject;
  } catch (error) {
    throw badRequest(`the body is not JSON: ${error}`);
  }
}

export function deleteRequest(body: string): DeleteRequest {
  return parse(body) as DeleteRequest;
}

export function selectors(query: URLSearchParams, { descriptor }: Collection) {
  const [labels, fields] = [query.get("labelSelector"), query.get("fieldSelector")];
  return matcher(labels ?? undefined, fields ?? undefined, descriptor);
}

/** Who writes, by name or else by the program's. */
export function managerOf({ headers }: FakeRequest, query: URLSearchParams): string {
  return query.get("fieldManager") ?? String(headers["user-agent"] ?? "unknown").split("/")[0] ?? "";
}

export function isDryRun(query: URLSearchParams): boolean {
  return query.get("dryRun") === "All";
}
