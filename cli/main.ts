#!/usr/bin/env node
/** The command line `virtpod`, also found by kubectl as `kubectl virtpod`. */
import { Command, InvalidArgumentError, Option } from "commander";
import { VERSION } from "../api/version.ts";
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

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError("a number of seconds above 0 is needed");
  return value;
}
