/** Has libvirt probe qemu once, and keeps what it found for every launcher of this node. */
import { chmod, copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { daemonPaths, type LibvirtDaemonOptions, startLibvirtDaemon } from "../libvirt/daemon.ts";
import { connectLibvirt } from "../libvirt/driver.ts";

/** A cold probe takes 2–4 s on an idle machine; nodes that start are not idle. */
const PROBE_TIMEOUT_MS = 60_000;

export interface CapabilitiesOptions extends LibvirtDaemonOptions {
  /** Gets one `<sha256 of the emulator's path>.xml` per emulator. Replaced file by file; stale ones go. */
  readonly outputDirectory: string;
}

/** @throws LibvirtError or a file system's error; what is in the output directory then is what was there before */
export async function fillCapabilities(options: CapabilitiesOptions): Promise<void> {
  const { outputDirectory, runtimeDirectory } = options;
  const cache = daemonPaths(runtimeDirectory).capabilities;
  const daemon = await startLibvirtDaemon(options);
  try {
    const connection = await connectLibvirt(daemon.socketPath);
    // The first question that takes qemu to answer.
    await connection.hypervisorVersion({ timeoutMs: PROBE_TIMEOUT_MS });
    connection.close();
  } finally {
    await daemon.stop();
  }
  await publish(cache, outputDirectory);
}

async function publish(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  const names = (await readdir(from)).filter((name) => name.endsWith(".xml"));
  if (names.length === 0) throw new Error(`libvirt left no capability cache in ${from}`);
  for (const name of names) {
    const temporary = join(to, `.${name}`);
    await copyFile(join(from, name), temporary);
    // libvirt keeps it to its user; launchers read it by the agent's mount.
    await chmod(temporary, 0o644);
    // A launcher reads either the old file or the new one.
    await rename(temporary, join(to, name));
  }
  for (const name of await readdir(to)) {
    if (!names.includes(name)) await rm(join(to, name), { force: true });
  }
}
