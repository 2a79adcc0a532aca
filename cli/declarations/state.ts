/** Commands that change what state a machine is in. */
import type { Command } from "commander";
import type { StateFlags } from "../commands/state.ts";
import { declare, flagsOf, wholeSeconds } from "./command.ts";

const MACHINE = "virtual machine";

export function declareState(program: Command): void {
  const start = declare(program, "start", "Start a virtual machine", ["start tiny", "start tiny --paused"])
    .argument("<name>", MACHINE)
    .option("--paused", "start the guest paused; unpause lets it go on");
  const stop = declare(program, "stop", "Stop a virtual machine: its guest is asked to power off", [
    "stop tiny",
    "stop tiny --force --grace-period 0",
  ]).argument("<name>", MACHINE);
  const restart = declare(
    program,
    "restart",
    "Stop a running virtual machine and start it again, in another pod",
    ["restart tiny"],
  ).argument("<name>", MACHINE);
  const pause = declare(program, "pause", "Hold a guest still; it keeps its memory and devices", [
    "pause tiny",
    "pause vm tiny",
  ]);
  const unpause = declare(program, "unpause", "Let a paused guest go on", ["unpause tiny"]);
  const reset = declare(
    program,
    "reset",
    "Press a guest's reset button: it is not asked, and keeps its pod",
    ["reset tiny"],
  ).argument("<name>", MACHINE);
  const softReboot = declare(program, "soft-reboot", "Ask a guest to reboot; it keeps its pod", [
    "soft-reboot tiny",
  ]).argument("<name>", MACHINE);
  for (const command of [stop, restart]) {
    command
      .option("--force", "end the guest without asking it, unless --grace-period gives it time")
      .option("--grace-period <seconds>", "seconds that the guest has to power off", wholeSeconds);
  }
  for (const command of [start, stop, restart, pause, unpause])
    command.option("--dry-run", "have the request checked, and nothing changed");
  for (const command of [pause, unpause])
    command.usage("[options] [vm|vmi] <name>").argument("<type-or-name>", MACHINE).argument("[name]");
  for (const command of [start, stop, restart, pause, unpause, reset, softReboot]) {
    command.action(async (...words: unknown[]) => {
      const { changeState, machineName } = await import("../commands/state.ts");
      const names = words.filter((word) => typeof word === "string");
      const subresource = command.name().replace("-", "") as Parameters<typeof changeState>[0];
      await changeState(subresource, machineName(names), flagsOf<StateFlags>(command));
    });
  }
}
