/** What Prometheus is told of the configuration: which is in force here and on each node, and whether one is refused. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { LiveConfiguration } from "./live.ts";

/**
 * @param agents version that each connected agent has taken, by node; empty on a replica that doesn't lead
 */
export function exportConfiguration(
  registry: Registry,
  live: LiveConfiguration,
  agents: () => ReadonlyMap<string, string>,
): void {
  const registers = [registry];
  const inForce = new Gauge({
    name: "virtpod_config_info",
    help: "1 for the version of the configuration that is in force in this operator.",
    labelNames: ["version"],
    registers,
  });
  Object.assign(inForce, {
    collect() {
      inForce.reset();
      inForce.set({ version: live.inForce.version }, 1);
    },
  });
  const agentsInForce = new Gauge({
    name: "virtpod_agent_config_info",
    help: "1 for the version of the configuration that the node's agent has taken. Told by the operator that leads.",
    labelNames: ["node", "version"],
    registers,
  });
  Object.assign(agentsInForce, {
    collect() {
      agentsInForce.reset();
      for (const [node, version] of agents()) agentsInForce.set({ node, version }, 1);
    },
  });
  const isGood = new Gauge({
    name: "virtpod_config_last_reload_successful",
    help: "0 while the ConfigMap's content is refused and an earlier one stays in force.",
    registers,
  });
  Object.assign(isGood, { collect: () => isGood.set(live.inForce.refused === undefined ? 1 : 0) });
  const reloads = new Counter({
    name: "virtpod_config_reloads_total",
    help: "Changes of the ConfigMap, by whether they were taken.",
    labelNames: ["result"],
    registers,
  });
  for (const result of ["taken", "refused"]) reloads.inc({ result }, 0);
  live.on("change", ({ refused, version }, before) => {
    if (refused !== undefined) reloads.inc({ result: "refused" });
    else if (version !== before.version) reloads.inc({ result: "taken" });
  });
}
