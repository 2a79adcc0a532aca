/**
 * The agent's process: environment, signals, exit.
 *
 * `agent reset` puts back what the agent has raised, and ends: the pod's preStop hook, for an agent that hangs.
 */
import packageJson from "../package.json" with { type: "json" };
import { startAgent } from "./agent.ts";
import { type AgentConfig, parseConfig } from "./config.ts";
import { resetAll } from "./cpu-burst/reset.ts";
import { createLog } from "./log.ts";

/** Well below the 30 s after which the kubelet kills, in milliseconds. */
const STOP_DEADLINE_MS = 10_000;

const { log, setLevel } = createLog("info");
let config: AgentConfig | undefined;

// Also takes unhandled rejections. The kubelet starts the agent anew, and guests don't notice: so no part is left
// running in a state that nobody planned for, and there is no liveness probe to tell that it is.
process.on("uncaughtException", (error) => {
  log.fatal({ err: error }, "the agent ends");
  // The next agent does it too, if there is one.
  if (config !== undefined) resetAll(config.burstState, log);
  process.exit(1);
});

config = parseConfig(process.env);
if (process.argv[2] === "reset") {
  resetAll(config.burstState, log);
  process.exit(0);
}
setLevel(config.logLevel);
const agent = await startAgent(config, packageJson.version, log, setLevel);

const stop = (signal: NodeJS.Signals): void => {
  log.info({ signal }, "stopping");
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  void agent.stop().then(() => process.exit(0));
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
