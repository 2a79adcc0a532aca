/** Commands that tell: of a machine's network, of what is wrong with it, of this program. */
import { type Command, Option } from "commander";
import type { DoctorFlags } from "../commands/doctor.ts";
import type { NetFlags } from "../commands/net.ts";
import type { VersionFlags } from "../commands/version.ts";
import { declare, flagsOf } from "./command.ts";

export function declareInformation(program: Command): void {
  const doctor = declare(program, "doctor", "Say on one page why a virtual machine isn't running", [
    "doctor tiny",
    "doctor tiny -n demo -o json",
  ])
    .argument("<name>", "virtual machine, or an instance without one")
    .addOption(
      new Option("-o, --output <format>", "how it is told").choices(["table", "json"]).default("table"),
    )
    .action(async (name: string) => {
      const commands = await import("../commands/doctor.ts");
      await commands.doctor(name, flagsOf<DoctorFlags>(doctor));
    });
  const net = declare(
    program,
    "net",
    "Show a guest's network: its lease, and what has passed between its card and the pod network",
    ["net tiny", "net tiny -n demo -o json"],
  )
    .argument("<name>", "virtual machine instance, named as its virtual machine")
    .addOption(
      new Option("-o, --output <format>", "how it is told").choices(["table", "json"]).default("table"),
    )
    .action(async (name: string) => {
      const commands = await import("../commands/net.ts");
      await commands.net(name, flagsOf<NetFlags>(net));
    });
  const version = declare(program, "version", "Print the versions of this program and of the operator", [
    "version",
    "version --client",
    "version -o json",
  ])
    .option("-c, --client", "this program's only; no cluster is asked")
    .addOption(new Option("-o, --output <format>", "as what").choices(["json"]))
    .action(async () => {
      const commands = await import("../commands/version.ts");
      await commands.version(flagsOf<VersionFlags>(version));
    });
  declareCompletion(program);
}

function declareCompletion(program: Command): void {
  declare(program, "completion", "Print a script that lets a shell complete commands, flags and names", [
    "completion bash > /etc/bash_completion.d/virtpod",
    "completion zsh > ~/.zfunc/_virtpod",
    "completion fish > ~/.config/fish/completions/virtpod.fish",
  ])
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => {
      const { completionScript } = await import("../completion.ts");
      process.stdout.write(completionScript(shell));
    });
  program
    .command("__complete", { hidden: true })
    .description("What the last of the words may become, a line each; the shell's script asks, after --")
    .argument("[words...]")
    .helpOption(false)
    .action(async (words: readonly string[]) => {
      const { complete } = await import("../commands/complete.ts");
      await complete(program, words);
    });
}
