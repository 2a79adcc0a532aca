#!/usr/bin/env node
/** The command line `virtpod`, also found by kubectl as `kubectl virtpod`. */
import { Command, InvalidArgumentError, Option } from "commander";
import { VERSION } from "../api/version.ts";
import type { StateFlags } from "./commands/state.ts";
import { CliError } from "./errors.ts";

interface GlobalFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

const program = new Command("virtpod")
  .description("Hold virtual machines that run on Kubernetes")
  .version(VERSION, "--client-version", "print this program's version")
  .option("--kubeconfig <file>", "kubeconfig to use instead of KUBECONFIG and ~/.kube/config")
  .option("--context <name>", "context of the kubeconfig")
  .option("-n, --namespace <name>", "namespace; the context's when absent")
  .showHelpAfterError("(run with --help for the flags)");

program
  .command("console")
  .argument("<name>", "virtual machine instance, named as its virtual machine")
  .description("Connect this terminal to the serial console of a running virtual machine; ^] leaves")
  .option("--timeout <seconds>", "how long to wait for a guest that is still starting", positiveNumber, 300)
  .addHelpText("after", "\nExamples:\n  virtpod console tiny\n  kubectl virtpod console tiny -n default")
  .action(async (name: string, flags: { readonly timeout: number }) => {
    const { console_ } = await import("./commands/console.ts");
    await console_(name, { ...program.opts<GlobalFlags>(), ...flags });
  });

program
  .command("net")
  .argument("<name>", "virtual machine instance, named as its virtual machine")
  .description("Show a guest's network: its lease, and what has passed between its card and the pod network")
  .addOption(
    new Option("-o, --output <format>", "how it is told").choices(["table", "json"]).default("table"),
  )
  .addHelpText("after", "\nExamples:\n  virtpod net tiny\n  kubectl virtpod net tiny -n default -o json")
  .action(async (name: string, flags: { readonly output: "table" | "json" }) => {
    const { net } = await import("./commands/net.ts");
    await net(name, { ...program.opts<GlobalFlags>(), ...flags });
  });

const ASKS = [
  ["start", "Start a virtual machine"],
  ["stop", "Stop a virtual machine: its guest is asked to power off"],
  ["restart", "Stop a running virtual machine and start it again, in another pod"],
  ["pause", "Hold a guest still; it keeps its memory and devices"],
  ["unpause", "Let a paused guest go on"],
  ["reset", "Press a guest's reset button: it is not asked, and keeps its pod"],
  ["soft-reboot", "Ask a guest to reboot; it keeps its pod"],
] as const;

for (const [word, description] of ASKS) {
  const command = program
    .command(word)
    .argument("<name>", "virtual machine")
    .description(description)
    .addHelpText("after", `\nExamples:\n  virtpod ${word} tiny\n  kubectl virtpod ${word} tiny -n default`)
    .action(async (name: string, flags: StateFlags) => {
      const { changeState } = await import("./commands/state.ts");
      const subresource = word === "soft-reboot" ? "softreboot" : word;
      await changeState(subresource, name, { ...program.opts<GlobalFlags>(), ...flags });
    });
  if (word === "start") command.option("--paused", "start the guest paused; unpause lets it go on");
  if (word === "stop" || word === "restart") {
    command
      .option("--force", "end the guest without asking it, unless --grace-period gives it time")
      .option("--grace-period <seconds>", "seconds that the guest has to power off", wholeSeconds);
  }
  if (word !== "reset" && word !== "soft-reboot")
    command.option("--dry-run", "have the request checked, and nothing changed");
}

program
  .command("version")
  .description("Print the version of this program")
  .action(() => {
    process.stdout.write(`Client Version: ${VERSION}\n`);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  if (error.exitCode !== 0) process.stderr.write(`virtpod: ${error.message}\n`);
  process.exitCode = error.exitCode;
}

function wholeSeconds(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError("whole seconds are needed, 0 or more");
  return value;
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError("a number of seconds above 0 is needed");
  return value;
}
