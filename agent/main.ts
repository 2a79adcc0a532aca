/** The agent's process: environment, signals, exit. */
import { pino } from "pino";
import packageJson from "../package.json" with { type: "json" };
import { startAgent } from "./agent.ts";
import { parseConfig } from "./config.ts";

/** Well below the 30 s after which the kubelet kills, in milliseconds. */
const STOP_DEADLINE_MS = 10_000;

const log = pino({ base: null });

// Also takes unhandled rejections. The kubelet starts the agent anew, and guests don't notice: so no part is left
// running in a state that nobody planned for, and there is no liveness probe to tell that it is.
process.on("uncaughtException", (error) => {
  log.fatal({ err: error }, "the agent ends");
  process.exit(1);
});

const config = parseConfig(process.env);
log.level = config.logLevel;
const agent = await startAgent(config, packageJson.version, log);

const stop = (signal: NodeJS.Signals): void => {
  log.info({ signal }, "stopping");
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  void agent.stop().then(() => process.exit(0));
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
