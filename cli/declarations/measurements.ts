/** Commands that tell what machines use, and what the installation is set to. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ConfigFlags } from "../commands/config.ts";
import type { TopFlags } from "../commands/top.ts";
import { declare, flagsOf } from "./command.ts";

export function declareMeasurements(program: Command): void {
  const top = declare(
    program,
    "top",
    "Show what running virtual machines use: CPU, its limit, burst and throttling, memory",
    ["top", "top tiny", "top --all-namespaces"],
  )
    .argument("[names...]", "virtual machine instances; all that run when absent")
    .option("-A, --all-namespaces", "of every namespace")
    .option("--interval <seconds>", "how long to measure", interval, 2)
    .addOption(format())
    .action(async (names: readonly string[]) => {
      const commands = await import("../commands/top.ts");
      await commands.top(names, flagsOf<TopFlags>(top));
    });
  const config = declare(
    program,
    "config",
    "Show the configuration that operator and agents go by, and why another one is refused",
    ["config", "config -o json", "config --installation virtpod-system"],
  )
    .option("--installation <namespace>", "namespace that virtpod is installed in", "virtpod")
    .addOption(format())
    .action(async () => {
      const commands = await import("../commands/config.ts");
      await commands.config(flagsOf<ConfigFlags>(config));
    });
}

function format(): Option {
  return new Option("-o, --output <format>", "how it is told").choices(["table", "json"]).default("table");
}

function interval(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0.1 && value <= 3600))
    throw new InvalidArgumentError("seconds from 0.1 to 3600 are needed");
  return value;
}
