/** Commands that ask a guest's agent. */
import type { Command } from "commander";
import type { FreezeFlags, GuestFlags } from "../commands/guest.ts";
import { declare, flagsOf, output } from "./command.ts";

const LISTS = [
  ["guestosinfo", "Show what the guest's agent tells of its system"],
  ["userlist", "Show who is logged in to a guest"],
  ["fslist", "Show a guest's mounted file systems"],
] as const;

export function declareGuest(program: Command): void {
  for (const [name, description] of LISTS) {
    const command = declare(program, name, description, [`${name} web`, `${name} web -o json`])
      .argument("<name>", "virtual machine instance")
      .addOption(output())
      .action(async (machine: string) => {
        const { askGuest } = await import("../commands/guest.ts");
        await askGuest(name, machine, flagsOf<GuestFlags>(command));
      });
  }
  const freeze = declare(program, "freeze", "Have a guest write out its file systems and write no more", [
    "freeze web",
    "freeze web --unfreeze-timeout 30s",
  ])
    .argument("<name>", "virtual machine instance")
    .option("--unfreeze-timeout <duration>", "when it writes again by itself; 0s is never", "5m")
    .action(async (machine: string) => {
      const commands = await import("../commands/guest.ts");
      await commands.freeze(machine, flagsOf<FreezeFlags>(freeze));
    });
  const unfreeze = declare(program, "unfreeze", "Let a frozen guest write again", ["unfreeze web"])
    .argument("<name>", "virtual machine instance")
    .action(async (machine: string) => {
      const commands = await import("../commands/guest.ts");
      await commands.unfreeze(machine, flagsOf(unfreeze));
    });
}
