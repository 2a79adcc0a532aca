/** A launcher pod's log with the time of each line, as the node's container runtime stamped it. */
import type { Client } from "../../kube/client.ts";
import { queryString } from "../../kube/request.ts";

export interface LogLine {
  /** Unix time. */
  readonly atMs: number;
  readonly text: string;
}

/** The log of the test guest's first lease: its uptime in seconds, its address. */
export const LEASE = /virtpod-guest: uptime=([\d.]+) lease ip=([\d.]+)/;

/** "2026-11-21T05:08:58.820432123Z text" → time and text; undefined for anything else. */
export function parseLogLine(line: string): LogLine | undefined {
  const match = /^(\S+Z) (.*?)\r*$/.exec(line);
  const atMs = Date.parse(match?.[1] ?? "");
  return Number.isNaN(atMs) ? undefined : { atMs, text: match?.[2] ?? "" };
}

/** The launcher's own log lines are JSON; all others are the guest's console. */
export function isConsoleLine(text: string): boolean {
  return !/^\{".*\}$/.test(text);
}

/** Lines from the container's start on, until it ends or the signal aborts. The container must have started. */
export async function* followLog(
  client: Client,
  pod: { readonly namespace: string; readonly name: string; readonly container?: string },
  signal: AbortSignal,
): AsyncGenerator<LogLine, void, void> {
  const query = queryString({ container: pod.container, follow: true, timestamps: true });
  const response = await client.stream({
    path: `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/log${query}`,
    action: `follow the log of pod ${pod.namespace}/${pod.name}`,
    signal,
  });
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = parseLogLine(line);
      if (parsed !== undefined) yield parsed;
    }
  }
}
