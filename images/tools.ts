/** Programs of the machine that the build runs, and the Debian packages that have them. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./process.ts";

const packages = {
  cpio: "cpio",
  dnsmasq: "dnsmasq-base",
  ip: "iproute2",
  mcopy: "mtools",
  mformat: "mtools",
  mke2fs: "e2fsprogs",
  mmd: "mtools",
  mmdebstrap: "mmdebstrap",
  modinfo: "kmod",
  "musl-gcc": "musl-tools",
  "qemu-img": "qemu-utils",
  sfdisk: "fdisk",
  skopeo: "skopeo",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  strip: "binutils",
  syslinux: "syslinux",
  xorriso: "xorriso",
  xz: "xz-utils",
} as const;

export type Tool = keyof typeof packages;

export class ToolError extends Error {
  readonly code = "TOOL_MISSING";
}

async function isInstalled(tool: Tool): Promise<boolean> {
  const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  const tries = folders.map((folder) => access(join(folder, tool), constants.X_OK));
  return Promise.any(tries).then(
    () => true,
    () => false,
  );
}

/**
 * Sees to it that programs are there: as root, missing ones are installed.
 *
 * @throws ToolError naming the packages, when the build may not install them
 */
export async function needTools(tools: readonly Tool[]): Promise<void> {
  const missing: string[] = [];
  for (const tool of tools) if (!(await isInstalled(tool))) missing.push(packages[tool]);
  if (missing.length === 0) return;
  const wanted = [...new Set(missing)];
  if (process.getuid?.() !== 0) {
    throw new ToolError(`programs are missing: as root, run \`apt-get install ${wanted.join(" ")}\``);
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["install", "--quiet", "--yes", "--no-install-recommends", ...wanted], { env });
}
