/** The guest's root file system: Debian packages installed into a folder by mmdebstrap, and what `files` adds. */
import { join } from "node:path";
import { suite } from "../debian.ts";
import { run } from "../process.ts";
import { needTools } from "../tools.ts";
import { packages } from "./recipe.ts";

const sources = import.meta.dirname;

/** Milliseconds; about a minute is usual. */
const deadline = 15 * 60_000;

export class BootstrapError extends Error {
  readonly code = "GUEST_BOOTSTRAP";
}

/** mmdebstrap's command line, in mount and process namespaces of its own so that whatever ends it ends all of it. */
export function bootstrapCommand(root: string, sourcesFile: string): string[] {
  const files = join(sources, "files");
  return [
    ...["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"],
    ...["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=directory"],
    `--dpkgopt=${join(sources, "dpkg.cfg")}`,
    ...[`--aptopt=Acquire::Languages "none"`, `--aptopt=APT::Install-Recommends "false"`],
    // Before the kernel, whose installation makes the initial RAM disk from what is configured.
    `--essential-hook=cp --recursive --no-target-directory '${files}' "$1"`,
    `--include=${packages.join(",")}`,
    `--customize-hook='${join(sources, "setup")}' "$1"`,
    ...[suite, root, sourcesFile],
  ];
}

/**
 * Fills a folder with the guest's root file system.
 *
 * @param sourcesFile apt's sources, which the guest keeps
 * @throws BootstrapError without root, which chroot and the files' owners need
 */
export async function bootstrap(root: string, sourcesFile: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new BootstrapError("the Debian guest is made by installing packages in a chroot: build it as root");
  }
  await needTools(["mmdebstrap", "xz"]);
  const [command = "", ...args] = bootstrapCommand(root, sourcesFile);
  await run(command, args, { timeout: deadline });
}
