/** Faults that answer in the API server's place. Pure: see fault.ts. */
import { describeExchange, type Exchange, isCollectionRead, isWrite } from "./exchange.ts";
import { type Fault, isBookmark, type RequestAction, status } from "./fault.ts";

/** What the operator reconciles; the lease and the reviews go on where a fault says so. */
const RECONCILED = /^(virtualmachines|virtualmachineinstances|pods)(\/|$)/;
const PAGE =
  "<!DOCTYPE html><html><title>Sign in</title><body>Please sign in to use this network.</body></html>";

function answer(...args: Parameters<typeof status>): RequestAction {
  return { do: "answer", answer: status(...args) };
}

/** A captive portal: 200 with a page, to so many reads of collections and so many writes, which it swallows. */
export function htmlPages(reads: number, writes: number): Fault {
  let readsLeft = reads;
  let writesLeft = writes;
  const page: RequestAction = {
    do: "answer",
    answer: { status: 200, headers: { "content-type": "text/html" }, body: PAGE },
  };
  return {
    name: "HTML with 200",
    onArm: "endWatches",
    request(exchange) {
      if (!RECONCILED.test(exchange.resource)) return undefined;
      if (isCollectionRead(exchange) && readsLeft-- > 0) return page;
      return isWrite(exchange) && writesLeft-- > 0 ? page : undefined;
    },
  };
}

/** 410 to every other attempt to resume a watch, and inside watches in place of every fifth event, so many times. */
export function goneOnWatch(times: number): Fault {
  let resumptions = 0;
  let events = 0;
  let left = times;
  const expired = status(410, "Expired", "too old resource version: 1 (2)");
  const line = JSON.stringify({ type: "ERROR", object: expired.body });
  return {
    name: "410 on watch",
    onArm: "endWatches",
    request({ verb, query }) {
      const isResumed = verb === "watch" && query.has("resourceVersion");
      return isResumed && resumptions++ % 2 === 0 ? { do: "answer", answer: expired } : undefined;
    },
    event(_exchange, event, { isInitial }) {
      if (isInitial || isBookmark(event) || ++events % 5 !== 0 || left-- <= 0) return undefined;
      return [{ do: "sendLine", line }, { do: "end" }];
    },
  };
}

/** A server without streaming lists and with pages of one object, whose continue tokens expire so many times. */
export function goneOnContinue(times: number): Fault {
  let left = times;
  return {
    name: "410 on continue",
    onArm: "expireWatches",
    request({ query, resource }) {
      if (query.has("sendInitialEvents")) {
        return answer(
          422,
          "Invalid",
          `${resource} is invalid: sendInitialEvents: Forbidden: feature is off`,
          {
            details: { causes: [{ reason: "FieldValueForbidden", field: "sendInitialEvents" }] },
          },
        );
      }
      if (query.has("continue") && left-- > 0) {
        return answer(
          410,
          "Expired",
          "The provided continue parameter is too old to display a consistent list",
        );
      }
      return query.has("limit") ? { do: "rewrite", query: { limit: "1" } } : undefined;
    },
  };
}

export interface Throttling extends Fault {
  /** Requests that came back before their Retry-After was over. */
  readonly early: readonly string[];
}

/** 429 with Retry-After to so many requests of any kind. */
export function throttled(times: number, retryAfterSeconds: number): Throttling {
  let left = times;
  const early: string[] = [];
  const due = new Map<string, number>();
  return {
    name: "429 with Retry-After",
    onArm: "endWatches",
    early,
    request(exchange, nowMs) {
      const what = `${describeExchange(exchange)} ${JSON.stringify(exchange.body)}`;
      if (nowMs < (due.get(what) ?? 0)) early.push(describeExchange(exchange));
      due.delete(what);
      if (left-- <= 0) return undefined;
      due.set(what, nowMs + retryAfterSeconds * 1000);
      const { answer: refusal } = answerOf(429, "TooManyRequests", "the server has too many requests");
      return {
        do: "answer",
        answer: { ...refusal, headers: { "retry-after": String(retryAfterSeconds) } },
      };
    },
  };
}

function answerOf(...args: Parameters<typeof status>) {
  return { answer: status(...args) };
}

/** 500 to so many requests of any kind, the lease's among them. */
export function serverErrors(times: number): Fault {
  let left = times;
  return {
    name: "500s",
    onArm: "endWatches",
    request: () =>
      left-- > 0
        ? answer(500, "InternalError", "Internal error occurred: etcdserver: request timed out")
        : undefined,
  };
}

/** 503 as a load balancer without a backend gives it, to everything, for so long from the first request on. */
export function unavailable(forMs: number): Fault {
  const isOn = window(forMs);
  return {
    name: "503",
    onArm: "endWatches",
    request: (_exchange, nowMs) =>
      isOn(nowMs)
        ? {
            do: "answer",
            answer: { status: 503, headers: { "content-type": "text/plain" }, body: "no backend" },
          }
        : undefined,
  };
}

/** 401 once to each kind of request, as after the token was rotated. */
export function unauthorizedOnce(): Fault {
  const refused = new Set<string>();
  return {
    name: "401 once",
    onArm: "endWatches",
    request({ verb, resource }) {
      const what = `${verb} ${resource}`;
      if (refused.has(what)) return undefined;
      refused.add(what);
      return answer(401, "Unauthorized", "Unauthorized");
    },
  };
}

/** 403 to all that is reconciled, as while a role binding is missing; the lease is renewed. */
export function forbidden(forMs: number): Fault {
  const isOn = window(forMs);
  return {
    name: "403 for a while",
    onArm: "endWatches",
    request(exchange, nowMs) {
      if (!RECONCILED.test(exchange.resource) || !isOn(nowMs)) return undefined;
      return answer(403, "Forbidden", `${describeExchange(exchange)} is forbidden: the operator cannot`);
    },
  };
}

/** 409 to every second update or patch, the lease's included, before the API server sees it. */
export function conflicts(): Fault {
  let updates = 0;
  return {
    name: "409 on every second update",
    request({ verb, resource, name }) {
      if ((verb !== "update" && verb !== "patch") || updates++ % 2 === 1) return undefined;
      return answer(409, "Conflict", `Operation cannot be fulfilled on ${resource} "${name}": modified`);
    },
  };
}

/** 404 as after the CRDs were deleted, for so long from the first request on; then they are back with what they held. */
export function crdsGone(forMs: number): Fault {
  const isOn = window(forMs);
  return {
    name: "CRD gone for a while",
    onArm: "endWatches",
    request(exchange: Exchange, nowMs) {
      if (exchange.group !== "kubevirt.io" || !isOn(nowMs)) return undefined;
      const headers = { "content-type": "text/plain; charset=utf-8" };
      return { do: "answer", answer: { status: 404, headers, body: "404 page not found\n" } };
    },
  };
}

/** True for so long from the first time it is asked. */
function window(forMs: number): (nowMs: number) => boolean {
  let until: number | undefined;
  return (nowMs) => {
    until ??= nowMs + forMs;
    return nowMs < until;
  };
}
