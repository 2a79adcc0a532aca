/** The metrics of the operator that leads, by way of the API server. */
import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "../../kube/client.ts";
import { SYSTEM } from "./system.ts";

/** An operator measures once a second at most. */
const POLL_MS = 300;

type Labels = Readonly<Record<string, string>>;

/** The text as Prometheus gets it. */
export async function operatorMetrics(client: Client): Promise<string> {
  const lease = await client.request<{ spec?: { holderIdentity?: string } }>({
    method: "GET",
    path: `/apis/coordination.k8s.io/v1/namespaces/${SYSTEM}/leases/virtpod-operator`,
    action: "find the operator that leads",
  });
  const [pod] = (lease.spec?.holderIdentity ?? "").split("_");
  const response = await client.stream({
    path: `/api/v1/namespaces/${SYSTEM}/pods/${pod}:8080/proxy/metrics`,
    action: `read the metrics of ${pod}`,
    signal: AbortSignal.timeout(15_000),
  });
  let text = "";
  for await (const chunk of response.body) text += Buffer.from(chunk).toString("utf8");
  return text;
}

/** The value of the one series of that name with these labels, and maybe others; undefined where there is none. */
export function measurementOf(text: string, name: string, labels: Labels): number | undefined {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const line = text
    .split("\n")
    .find((one) => one.startsWith(`${name}{`) && wanted.every((label) => one.includes(label)));
  const value = line?.slice(line.lastIndexOf(" ") + 1) ?? text.match(new RegExp(`^${name} (.*)$`, "m"))?.[1];
  return value === undefined ? undefined : Number(value);
}

/**
 * Asks until the series has such a value. An operator that is just being replaced answers nothing.
 * @throws Error with the last value seen
 */
export async function untilMeasured(
  client: Client,
  name: string,
  labels: Labels,
  when: (value: number | undefined) => boolean,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const text = await operatorMetrics(client).catch(() => "");
    const value = measurementOf(text, name, labels);
    if (when(value)) return;
    if (performance.now() > deadline)
      throw new Error(`${name}${JSON.stringify(labels)} is ${value} after ${timeoutMs} ms`);
    await delay(POLL_MS);
  }
}
