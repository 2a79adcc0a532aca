/** The objects that a watch covers, as a list tells them. */
import type { IncomingHttpHeaders } from "node:http";
import type { Exchange } from "./exchange.ts";
import type { WatchObject } from "./fault.ts";
import type { Upstream } from "./upstream.ts";

interface List {
  readonly kind: string;
  readonly apiVersion: string;
  readonly items: readonly WatchObject[];
}

/** What narrows a request to some objects of a collection. */
export function selectorsOf({ query }: Exchange): [name: string, value: string][] {
  return ["labelSelector", "fieldSelector"].flatMap((name) => {
    const value = query.get(name);
    return value === null ? [] : [[name, value]];
  });
}

/**
 * @param headers the client's: it is its rights that count
 * @param query beside the selectors
 * @throws Error with the API server's refusal
 */
export async function listObjects(
  upstream: Upstream,
  exchange: Exchange,
  headers: IncomingHttpHeaders,
  query: readonly [name: string, value: string][] = [],
): Promise<WatchObject[]> {
  const path = `${exchange.path}?${new URLSearchParams([...selectorsOf(exchange), ...query])}`;
  const reply = await upstream.send("GET", path, { ...headers, accept: "application/json" }, undefined);
  if (reply.status !== 200) throw new Error(`list ${path}: ${reply.body}`);
  const { kind, apiVersion, items } = JSON.parse(reply.body.toString()) as List;
  // Items of a list don't say what they are; events of a watch do.
  return items.map((item) => ({ apiVersion, kind: kind.replace(/List$/, ""), ...item }));
}
