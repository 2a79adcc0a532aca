/**
 * The probe: once per node, before its first launcher. Finds out whether KVM really runs guests, and leaves libvirt's
 * capability caches, one per accelerator. What it found stays until qemu, libvirt, the kernel or the boot changes.
 *
 *   <out>/node-facts.json                          NodeFactsFile
 *   <out>/capabilities/{tcg,kvm}/<sha256>.xml
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { Accelerator } from "../../api/launch-spec.ts";
import { LAUNCHER_UID } from "../../api/names.ts";
import { EMULATOR } from "../domain/xml.ts";
import { type DaemonUser, LIBVIRTD } from "../libvirt/daemon.ts";
import type { Log } from "../log.ts";
import { fillCapabilities } from "./capabilities.ts";
import { type GuestVerdict, tryGuest } from "./guest.ts";
import { hasKvmDevice, setKvmAccess } from "./kvm-device.ts";

export interface ProbeOptions {
  readonly outputDirectory: string;
  /** For libvirtd's run; what is made in it is removed again. */
  readonly workDirectory: string;
  readonly log: Log;
  /** Whom launchers run as; the cache must be valid for them. */
  readonly user?: DaemonUser;
  readonly emulator?: string;
  readonly libvirtd?: string;
}

export interface NodeFactsFile {
  readonly kvm: GuestVerdict;
  /** Digest of the files that the capability caches depend on: it changes when the image is unpacked anew. */
  readonly image: string;
  /** `uname -r`. */
  readonly kernel: string;
  /** The kernel's boot ID: microcode and module parameters may be others after a boot. */
  readonly boot: string;
  readonly hasKvmDevice: boolean;
  /** Accelerators whose cache was filled. */
  readonly capabilities: readonly Accelerator[];
}

/**
 * Always writes node-facts.json; a cache that can't be filled is logged, and costs launchers time only.
 * @throws a file system's error of the output directory
 */
export async function runProbe(options: ProbeOptions): Promise<NodeFactsFile> {
  const { outputDirectory, log, emulator = EMULATOR, libvirtd = LIBVIRTD } = options;
  const path = join(outputDirectory, "node-facts.json");
  const identity = await identify([emulator, libvirtd]);
  const known = await readFacts(path);
  if (known !== undefined && (await isValid(known, identity, outputDirectory))) {
    log.info({ facts: known }, "the node was probed before and nothing has changed");
    return known;
  }
  await mkdir(outputDirectory, { recursive: true });
  await mkdir(options.workDirectory, { recursive: true });
  const kvm = await probeKvm(identity.hasKvmDevice, emulator, options.workDirectory);
  const capabilities: Accelerator[] = [];
  for (const accelerator of ["tcg", "kvm"] as const) {
    const isWanted = accelerator === "tcg" || kvm.usable;
    if (isWanted && (await fill(accelerator, options))) capabilities.push(accelerator);
    else await rm(cacheDirectory(outputDirectory, accelerator), { recursive: true, force: true });
  }
  const facts: NodeFactsFile = { kvm, ...identity, capabilities };
  await writeFile(`${path}.new`, `${JSON.stringify(facts, null, 2)}\n`);
  await rename(`${path}.new`, path);
  log.info({ facts }, "the node is probed");
  return facts;
}

function probeKvm(hasDevice: boolean, emulator: string, directory: string): Promise<GuestVerdict> {
  if (!hasDevice) return Promise.resolve({ usable: false, reason: "the node has no /dev/kvm" });
  return tryGuest("kvm", { emulator, directory });
}

async function fill(accelerator: Accelerator, options: ProbeOptions): Promise<boolean> {
  const { log, outputDirectory, workDirectory, libvirtd = LIBVIRTD } = options;
  const { user = { uid: LAUNCHER_UID, gid: LAUNCHER_UID } } = options;
  const runtimeDirectory = await mkdtemp(join(workDirectory, `${accelerator}-`));
  try {
    await setKvmAccess(user, accelerator === "kvm");
    await fillCapabilities({
      runtimeDirectory,
      outputDirectory: cacheDirectory(outputDirectory, accelerator),
      program: libvirtd,
      user,
      onLogLine: (line) => log.debug({ line }, "libvirtd"),
    });
    return true;
  } catch (error) {
    log.error({ err: error, accelerator }, "cannot fill libvirt's capability cache; VMs start slower");
    return false;
  } finally {
    await rm(runtimeDirectory, { recursive: true, force: true });
  }
}

type Identity = Pick<NodeFactsFile, "image" | "kernel" | "boot" | "hasKvmDevice">;

async function identify(files: readonly string[]): Promise<Identity> {
  const hash = createHash("sha256");
  for (const file of files) {
    // libvirt's own criterion is the ctime, which unpacking an image changes.
    const found = await stat(file, { bigint: true }).catch(() => undefined);
    hash.update(`${file} ${found?.ino} ${found?.size} ${found?.ctimeNs}\n`);
  }
  return {
    image: `sha256:${hash.digest("hex")}`,
    kernel: release(),
    boot: (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim(),
    hasKvmDevice: await hasKvmDevice(),
  };
}

async function isValid(facts: NodeFactsFile, identity: Identity, outputDirectory: string): Promise<boolean> {
  const { image, kernel, boot } = identity;
  if (facts.image !== image || facts.kernel !== kernel || facts.boot !== boot) return false;
  if (facts.hasKvmDevice !== identity.hasKvmDevice) return false;
  const wanted: readonly Accelerator[] = facts.kvm?.usable ? ["tcg", "kvm"] : ["tcg"];
  const filled = await Promise.all(
    wanted.map((accelerator) => readdir(cacheDirectory(outputDirectory, accelerator)).catch(() => [])),
  );
  return filled.every((names) => names.length > 0);
}

async function readFacts(path: string): Promise<NodeFactsFile | undefined> {
  try {
    const facts: unknown = JSON.parse(await readFile(path, "utf8"));
    return typeof facts === "object" && facts !== null ? (facts as NodeFactsFile) : undefined;
  } catch {
    // Absent, or cut short by a crash: probed anew.
    return undefined;
  }
}

function cacheDirectory(outputDirectory: string, accelerator: Accelerator): string {
  return join(outputDirectory, "capabilities", accelerator);
}
