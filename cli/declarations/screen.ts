/** Commands about a guest's screen. */
import { type Command, Option } from "commander";
import type { ScreenshotFlags } from "../commands/screenshot.ts";
import type { VncFlags } from "../commands/vnc.ts";
import { CliError } from "../errors.ts";
import { VNC_TYPES } from "../viewers.ts";
import { declare, flagsOf, port } from "./command.ts";

/** @param path of the environment: where viewers are looked for */
export function declareScreen(program: Command, path: string): void {
  const vnc = declare(program, "vnc", "Show a guest's screen", [
    "vnc tiny",
    "vnc tiny --browser",
    "vnc tiny --proxy-only --port 5900",
    "vnc screenshot tiny -f screen.png",
  ])
    .argument("<name>", "virtual machine instance")
    .option("--browser", "show it in the browser, from a page on loopback")
    .option("--proxy-only", "start no viewer: print the port as JSON, and the page's URL with --browser")
    .option("--port <port>", "local port; any that is free when 0", port(0), 0)
    .option("--address <address>", "where the port is opened, with --proxy-only; 127.0.0.1 when absent")
    .option("--preserve-session", "leave the screen to a viewer that has it already")
    .addOption(new Option("--vnc-type <type>", "kind of viewer").choices(VNC_TYPES))
    .option("--vnc-path <file>", "the viewer's program; looked for on the PATH when absent")
    .action(async (name: string) => {
      const commands = await import("../commands/vnc.ts");
      const flags = flagsOf<VncFlags>(vnc);
      if (flags.address !== undefined && flags.proxyOnly !== true)
        throw new CliError("--address is for --proxy-only: a viewer on this machine uses 127.0.0.1");
      await commands.vnc(name, { ...flags, path });
    });
  declareScreenshot(vnc);
  declareScreenshot(program);
}

function declareScreenshot(parent: Command): void {
  const isShort = parent.parent === null;
  const examples = ["screenshot tiny -f screen.png", "screenshot tiny -f - | display"];
  if (isShort) examples.unshift("screenshot tiny screen.png");
  const command = declare(parent, "screenshot", "Save what a guest's screen shows, as a PNG", examples)
    .argument("<name>", "virtual machine instance")
    .option("-f, --file <file>", "file to write; - is standard output")
    .option("-m, --move-cursor", "move the pointer first, to wake a screen that was put to sleep");
  if (isShort) command.argument("[file]", "file to write, in place of --file");
  command.action(async (name: string, ...rest: unknown[]) => {
    const given = flagsOf<Partial<ScreenshotFlags>>(command);
    const file = given.file ?? (typeof rest[0] === "string" ? rest[0] : undefined);
    if (file === undefined)
      throw new CliError("say where to write the screenshot: --file FILE, - is standard output");
    const { screenshot } = await import("../commands/screenshot.ts");
    await screenshot(name, { ...given, file });
  });
}
