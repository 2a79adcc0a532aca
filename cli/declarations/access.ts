/** Commands that lead into a guest: its console, ssh and scp, its ports. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDurationMs } from "../../lib/duration.ts";
import type { ConsoleFlags } from "../commands/console.ts";
import type { ExposeFlags } from "../commands/expose.ts";
import type { PortForwardFlags } from "../commands/port-forward.ts";
import type { ScpFlags, SshFlags } from "../commands/ssh.ts";
import { declare, each, flagsOf, port } from "./command.ts";

export function declareAccess(program: Command): void {
  const console_ = declare(
    program,
    "console",
    "Connect this terminal to the serial console of a running virtual machine; ^] leaves",
    ["console tiny", "console tiny --timeout 30s"],
  )
    .argument("<name>", "virtual machine instance, named as its virtual machine")
    .addOption(
      new Option("--timeout <minutes>", "how long to wait for a guest that is still starting")
        .argParser(minutes)
        .default(300_000, "5"),
    )
    .action(async (name: string) => {
      const { console_: connect } = await import("../commands/console.ts");
      await connect(name, flagsOf<ConsoleFlags>(console_));
    });
  declareSsh(program);
  declarePortForward(program);
  declareExpose(program);
}

function declareSsh(program: Command): void {
  const ssh = declare(program, "ssh", "Log in to a guest by this machine's ssh, through the API server", [
    "ssh debian@vm/web",
    "ssh vm/web/demo -l debian -i ~/.ssh/id_ed25519 -c 'systemctl is-system-running'",
  ])
    .argument("<target>", "[user@]vm/NAME[/NAMESPACE]")
    .option("-c, --command <words>", "what to run there instead of a shell");
  withSshOptions(ssh).action(async (target: string) => {
    const commands = await import("../commands/ssh.ts");
    await commands.ssh(target, flagsOf<SshFlags>(ssh));
  });
  const scp = declare(program, "scp", "Copy files to or from a guest by this machine's scp", [
    "scp notes.txt debian@vm/web:notes.txt",
    "scp -r debian@vm/web/demo:/var/log ./log",
  ])
    .argument("<source>", "a path here, or [user@]vm/NAME[/NAMESPACE]:PATH")
    .argument("<destination>", "likewise; exactly one of the two is in the guest")
    .option("-r, --recursive", "copy whole folders")
    .option("--preserve", "keep times and modes");
  withSshOptions(scp).action(async (source: string, destination: string) => {
    const commands = await import("../commands/ssh.ts");
    await commands.scp(source, destination, flagsOf<ScpFlags>(scp));
  });
}

function withSshOptions(command: Command): Command {
  return command
    .option("-l, --username <user>", "user to log in as; ssh decides when absent")
    .option("-i, --identity-file <file>", "private key")
    .option("-p, --port <port>", "the guest's ssh port", port(1), 22)
    .option("--known-hosts <file>", "file with the guests' host keys; ssh's own when absent")
    .option("-t, --local-ssh-opts <option>", "a further option for ssh, as one word; may be repeated", each)
    .addOption(new Option("--local-ssh", "for virtctl's sake: there is no other").hideHelp())
    .addOption(new Option("--no-local-ssh", "refused: there is no other").hideHelp());
}

function declarePortForward(program: Command): void {
  const command = declare(program, "port-forward", "Forward local ports to a guest, through the API server", [
    "port-forward vm/web 8080:80",
    "port-forward vmi/dns/demo udp/5353:53 --address 0.0.0.0",
    "port-forward --stdio vm/web 22",
  ])
    .argument("<target>", "vm/NAME[/NAMESPACE]")
    .argument("<ports...>", "[tcp/|udp/]LOCAL[:GUEST]")
    .option("--address <address>", "where the local ports are opened", "127.0.0.1")
    .option("--stdio", "join one port with standard input and output")
    .action(async (target: string, ports: readonly string[]) => {
      const { portForward } = await import("../commands/port-forward.ts");
      await portForward(target, ports, flagsOf<PortForwardFlags>(command));
    });
}

function declareExpose(program: Command): void {
  const command = declare(program, "expose", "Make a Service that leads to a virtual machine", [
    "expose vm web --name web --port 80",
    "expose vmi web --name web-ssh --port 22 --type NodePort",
    "expose vm web --name web-8000 --port 8000 --target-port 80 --dry-run",
  ])
    .argument("<type>", "vm or vmi")
    .argument("<name>", "its name")
    .requiredOption("--name <name>", "the Service's name")
    .option("--port <port>", "the Service's port; those of the machine's interface when absent", port(1))
    .option("--target-port <port>", "the guest's port; the Service's when absent")
    .option("--port-name <name>", "name of the port")
    .option("--protocol <protocol>", "TCP or UDP", "TCP")
    .option("--type <type>", "ClusterIP, NodePort or LoadBalancer", "ClusterIP")
    .option("--cluster-ip <address>", "the Service's address; None for a headless one")
    .option("--external-ip <address>", "a further address that leads to it")
    .option("--ip-family <families>", "IPv4, IPv6, or both with a comma between them")
    .option("--ip-family-policy <policy>", "SingleStack, PreferDualStack or RequireDualStack")
    .option("--dry-run", "print the Service, and make none")
    .action(async (type: string, name: string) => {
      const { expose } = await import("../commands/expose.ts");
      await expose(type, name, flagsOf<ExposeFlags>(command));
    });
}

/** virtctl's unit is the minute; a duration with units will do as well. Milliseconds. */
function minutes(text: string): number {
  const milliseconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 60_000 : parseDurationMs(text);
  if (milliseconds === undefined || milliseconds <= 0)
    throw new InvalidArgumentError("minutes or a duration such as 30s is needed, above 0");
  return milliseconds;
}
