/** virtctl's commands that there are not, refused by name: a script is told what to do instead of "unknown command". */
import type { Command } from "commander";
import { CliError } from "../errors.ts";

const NO_MIGRATION = "there is no live migration yet: stop and start the machine to move it";
const NO_HOTPLUG = "there is no hot-plug yet: change the machine's template and restart it";
const NO_EXPORT = "there are no exports yet: read the claim's disk in a pod of your own";

const MISSING: Readonly<Record<string, string>> = {
  migrate: NO_MIGRATION,
  "migrate-cancel": NO_MIGRATION,
  "evacuate-cancel": NO_MIGRATION,
  addvolume: NO_HOTPLUG,
  removevolume: NO_HOTPLUG,
  "memory-dump": "there are no memory dumps yet",
  usbredir: "no USB device is redirected yet",
  "image-upload":
    "there are no data volumes: fill a claim by a pod of your own, or put the disk into an image",
  guestfs: "there is no libguestfs image: mount the claim in a pod of your own",
  vmexport: NO_EXPORT,
  credentials:
    "there is no such command yet: change the Secret that accessCredentials names, and the guest follows",
  adm: "there is no such command: log levels are in the installation's configuration",
  objectgraph: "there is no object graph yet: see virtpod doctor NAME",
  template: "there are no templates yet: virtpod create vm writes a manifest",
  "permitted-devices": "no host device is passed to guests yet",
};

export function declareMissing(program: Command): void {
  for (const [name, why] of Object.entries(MISSING))
    program
      .command(name, { hidden: true })
      .description(`Not there: ${why}`)
      .argument("[words...]")
      .allowUnknownOption()
      .helpOption(false)
      .action(() => {
        throw new CliError(`${name}: ${why}`);
      });
}
