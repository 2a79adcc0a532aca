/** The operator's process: environment in, exit code out. */
import { pino } from "pino";
import { VERSION } from "../api/version.ts";
import { connect } from "../kube/connect.ts";
import { KubeMetrics } from "../kube/metrics.ts";
import { parseConfig } from "./config.ts";
import { runOperator } from "./operator.ts";

const log = pino({ name: "virtpod-operator" });
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort(new Error("SIGTERM")));
process.once("SIGINT", () => stop.abort(new Error("SIGINT")));
process.once("unhandledRejection", (err) => {
  log.fatal({ err }, "an error that nobody handled");
  process.exit(1);
});

try {
  const config = parseConfig(process.env);
  const metrics = new KubeMetrics();
  const userAgent = `virtpod-operator/${VERSION}`;
  const client = await connect({ environment: process.env, userAgent, metrics });
  log.info({ version: VERSION, pod: config.podName, node: process.version }, "the operator starts");
  const setLogLevel = (level: string) => {
    log.level = level;
  };
  await runOperator({ config, client, logger: log, setLogLevel, metrics }, stop.signal);
  await client.close();
  process.exit(0);
} catch (err) {
  // The lease is released or expires, and the kubelet starts the process anew.
  log.fatal({ err }, err instanceof Error ? err.message : "the operator failed");
  process.exit(1);
}
