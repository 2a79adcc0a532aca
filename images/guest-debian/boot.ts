/**
 * Boots the Debian guest's disk under bare qemu with a NoCloud seed: no cluster, no libvirt, no launcher.
 *
 * `node images/guest-debian/boot.ts [--firmware bios|efi|secure-boot] [--cpus N] [--memory MiB]` prints the guest's
 * console and, last, its timeline as JSON.
 */
import { spawn } from "node:child_process";
import { copyFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Debian } from "../debian.ts";
import { BootError, EmulatedGuest, emulator, emulatorRoot, unpacked } from "../emulator.ts";
import { cacheFolder } from "../layer.ts";
import { run } from "../process.ts";
import { needTools } from "../tools.ts";
import { debianGuestLayer } from "./layer.ts";

export const firmwares = ["bios", "efi", "secure-boot"] as const;
export type Firmware = (typeof firmwares)[number];

/** Root file system with the launcher image's own qemu and firmware, and the guest's files. */
export type Machine = { readonly root: string; readonly guest: string };

export type BootOptions = {
  readonly firmware?: Firmware;
  /** Bytes of the disk, at least the image's 2 GiB. */
  readonly diskSize?: number;
  readonly cpus?: number;
  /** Guest memory in MiB. */
  readonly memory?: number;
  /** Top-level keys of the cloud-config besides the key that {@link DebianGuest.ssh} uses. */
  readonly userData?: Readonly<Record<string, unknown>>;
  /** Called with each line of the serial console. */
  readonly onLine?: (line: string) => void;
};

export const hostname = "seeded";

/** Milliseconds; 30 s is usual on an idle machine without KVM. */
const deadline = 300_000;

/** Makes or finds the launcher's qemu and the guest. */
export async function prepareMachine(): Promise<Machine> {
  await needTools(["qemu-img", "mformat", "mcopy", "ssh", "ssh-keygen"]);
  const debian = new Debian();
  return {
    root: await emulatorRoot(debian),
    guest: await unpacked("guest-debian", [await debianGuestLayer(debian, {})]),
  };
}

/** qemu's arguments for a firmware; its variables are in a file of the guest's own. */
function firmwareArguments(root: string, firmware: Firmware, variables: string): string[] {
  if (firmware === "bios") return ["-machine", "q35"];
  const secure = firmware === "secure-boot";
  const code = join(root, "usr/share/OVMF", secure ? "OVMF_CODE_4M.secboot.fd" : "OVMF_CODE_4M.fd");
  return [
    ...["-machine", secure ? "q35,smm=on" : "q35"],
    ...(secure ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${code}`],
    ...["-drive", `if=pflash,format=raw,file=${variables}`],
  ];
}

/** A NoCloud seed: a FAT file system labelled CIDATA (cloud-init, NoCloud data source). */
async function makeSeed(work: string, userData: Readonly<Record<string, unknown>>): Promise<string> {
  const seed = join(work, "seed.img");
  await writeFile(seed, "");
  await truncate(seed, 2 * 2 ** 20);
  await run("mformat", ["-i", seed, "-v", "CIDATA", "::"]);
  const files = {
    "meta-data": JSON.stringify({ "instance-id": "boot", "local-hostname": hostname }),
    // JSON is YAML.
    "user-data": `#cloud-config\n${JSON.stringify(userData)}\n`,
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(work, name), text);
    await run("mcopy", ["-i", seed, join(work, name), `::${name}`]);
  }
  return seed;
}

/** The guest on its own network, with one way in: its port 22, forwarded from a port of the loopback interface. */
export class DebianGuest extends EmulatedGuest {
  readonly #work: string;

  constructor(qemu: ReturnType<typeof spawn>, work: string, onLine: BootOptions["onLine"]) {
    super(qemu, join(work, "monitor"), onLine, () => rm(work, { recursive: true, force: true }));
    this.#work = work;
  }

  /** Waits until cloud-init has done all that it was told. Resolves with the milliseconds since qemu's start. */
  async configured(): Promise<number> {
    return (await this.line(/Cloud-init v\. .* finished at/, 0, deadline)).at;
  }

  /** Waits until the guest's sshd greets. Nothing outside tells when it does, so it is asked until then. */
  async listening(): Promise<void> {
    // It is started after this.
    await this.line(/Cloud-init v\. .* running 'init' /, 0, deadline);
    const port = await this.#sshPort();
    const end = performance.now() + deadline;
    while (!(await greets(port))) {
      if (performance.now() > end)
        throw new BootError(`the guest's sshd did not greet within ${deadline} ms`);
      await sleep(250);
    }
  }

  /** Runs a command in the guest as `debian`, with the key of the seed, and gives its standard output. */
  async ssh(command: string): Promise<string> {
    const options = {
      BatchMode: "yes",
      LogLevel: "ERROR",
      StrictHostKeyChecking: "no",
      UserKnownHostsFile: "/dev/null",
    };
    const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    const port = String(await this.#sshPort());
    const where = ["-F", "none", "-i", join(this.#work, "key"), "-p", port, "debian@127.0.0.1"];
    return run("ssh", [...flags, ...where, command], { timeout: deadline });
  }

  /** Asks the guest agent for one thing, such as `guest-ping`. */
  async agent(execute: string): Promise<unknown> {
    const socket = connect(join(this.#work, "agent"));
    const timer = setTimeout(() => socket.destroy(), deadline);
    try {
      socket.write(`${JSON.stringify({ execute })}\n`);
      for await (const line of createInterface({ input: socket })) {
        return (JSON.parse(line) as { return: unknown }).return;
      }
      throw new BootError(`the guest agent gave no answer to ${execute} within ${deadline} ms`);
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  }

  /** The loopback port, which qemu chose. */
  async #sshPort(): Promise<number> {
    const said = String(await this.monitor("human-monitor-command", { "command-line": "info usernet" }));
    const port = /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)/.exec(said)?.[1];
    if (port === undefined) throw new BootError(`qemu forwards no port: ${said}`);
    return Number(port);
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.setTimeout(10_000, () => socket.destroy());
    socket.once("data", (data) => {
      resolve(data.toString("latin1").startsWith("SSH-2.0-"));
      socket.destroy();
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

/** Starts a guest from a disk over the image's, which stays as it is. */
export async function bootGuest({ root, guest }: Machine, options: BootOptions = {}): Promise<DebianGuest> {
  const { firmware = "bios", diskSize = 4 * 2 ** 30, cpus = 1, memory = 1024, userData = {} } = options;
  const work = await mkdtemp(join(cacheFolder(), ".boot-"));
  try {
    const backing = join(guest, "disk/disk.qcow2");
    const disk = join(work, "disk.qcow2");
    const overlay = ["-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", disk, String(diskSize)];
    await run("qemu-img", ["create", ...overlay]);
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(work, "key")]);
    const publicKey = await run("ssh-keygen", ["-y", "-f", join(work, "key")]);
    const seed = await makeSeed(work, { ssh_authorized_keys: [publicKey.trim()], ...userData });
    const variables = join(work, "variables.fd");
    const template = firmware === "secure-boot" ? "OVMF_VARS_4M.ms.fd" : "OVMF_VARS_4M.fd";
    if (firmware !== "bios") await copyFile(join(root, "usr/share/OVMF", template), variables);
    const [command = "", ...arguments_] = [
      ...emulator(root),
      ...firmwareArguments(root, firmware, variables),
      ...["-cpu", "max", "-accel", "tcg", "-smp", String(cpus), "-m", String(memory)],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"],
      ...["-qmp", `unix:${join(work, "monitor")},server=on,wait=off`],
      ...["-drive", `file=${disk},format=qcow2,if=none,id=disk`],
      ...["-device", "virtio-blk-pci,drive=disk,bootindex=1"],
      ...["-drive", `file=${seed},format=raw,if=none,id=seed,readonly=on`],
      ...["-device", "virtio-blk-pci,drive=seed"],
      ...["-netdev", "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"],
      ...["-device", "virtio-net-pci,netdev=net0,romfile="],
      ...["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"],
      ...["-chardev", `socket,id=agent,path=${join(work, "agent")},server=on,wait=off`],
      ...["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"],
    ];
    const qemu = spawn(command, arguments_, { stdio: ["pipe", "pipe", "inherit"] });
    return new DebianGuest(qemu, work, options.onLine);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      firmware: { type: "string", default: "bios" },
      cpus: { type: "string", default: "1" },
      memory: { type: "string", default: "1024" },
    },
  });
  const firmware = firmwares.find((name) => name === values.firmware);
  if (firmware === undefined) {
    console.error(`there is no firmware ${values.firmware}: say ${firmwares.join(", ")}`);
    process.exit(2);
  }
  const machine = await prepareMachine();
  const options = { firmware, cpus: Number(values.cpus), memory: Number(values.memory), onLine: console.log };
  const started = performance.now();
  await using guest = await bootGuest(machine, options);
  await guest.listening();
  const sshSeconds = (performance.now() - started) / 1000;
  const configuredSeconds = (await guest.configured()) / 1000;
  console.log(await guest.ssh("systemd-analyze time; systemd-analyze blame --no-pager | head -20"));
  console.log(JSON.stringify({ firmware, sshSeconds, configuredSeconds }));
}
