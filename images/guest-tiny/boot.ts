/**
 * Boots the test guest under bare qemu, with a DHCP server on its tap: no cluster, no libvirt, no launcher.
 * What a launcher adds to a guest's start is measured against this.
 *
 * `node images/guest-tiny/boot.ts [--disk] [--memory MiB]` prints the guest's console and, last, its timeline as JSON.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Debian } from "../debian.ts";
import { cacheFolder, type LayerFile } from "../layer.ts";
import { baseLayer, debianLayer } from "../layers.ts";
import { run } from "../process.ts";
import * as recipes from "../recipes.ts";
import { needTools } from "../tools.ts";
import { guestLayer } from "./layer.ts";

/** The network that the guest gets: everything that the DHCP server below hands out. */
export const network = {
  interface: "tap0",
  mac: "52:54:00:12:34:56",
  server: "10.77.0.1",
  address: "10.77.0.2",
  mtu: 1400,
  hostname: "tiny",
  search: ["one.test", "two.test"],
  leaseSeconds: 3600,
} as const;

/** No self-tests, no patching, one serial port: under emulation they take 0.7 s of a CPU. `examples/vm.yaml` has the same. */
export const kernelArguments =
  "console=ttyS0 quiet cryptomgr.notests noreplace-smp random.trust_cpu=on 8250.nr_uarts=1";

export type BootOptions = {
  /** Boots the disk image through the BIOS instead of the kernel directly. */
  readonly disk?: boolean;
  /** Guest memory in MiB. */
  readonly memory?: number;
  /** Added to the kernel's command line; only without `disk`. */
  readonly append?: string;
  /** Network cards of the guest, 0 or 1. */
  readonly cards?: number;
  /** Further qemu arguments. */
  readonly devices?: readonly string[];
  /** Called with each line of the serial console. */
  readonly onLine?: (line: string) => void;
};

/** Root file system with the launcher image's own qemu, and the guest's files. */
export type Machine = { readonly root: string; readonly guest: string };

export class BootError extends Error {
  readonly code = "GUEST_BOOT";
}

/** Unpacks layers into the cache, once. */
async function unpacked(name: string, layers: readonly LayerFile[]): Promise<string> {
  const home = join(
    cacheFolder(),
    "roots",
    `${name}-${layers.map(({ digest }) => digest.slice(7, 19)).join("-")}`,
  );
  if (existsSync(home)) return home;
  await mkdir(join(cacheFolder(), "roots"), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), "roots/.new-"));
  for (const { file } of layers) await run("tar", ["-xf", file, "-C", work]);
  await chmod(work, 0o755);
  await rename(work, home);
  return home;
}

/** Makes or finds the launcher's qemu and the guest. */
export async function prepareMachine(): Promise<Machine> {
  await needTools(["ip", "dnsmasq"]);
  const debian = new Debian();
  const base = await baseLayer(debian, {});
  const launcher = await debianLayer(debian, "virtpod-launcher", recipes.launcher, base, {});
  return {
    root: await unpacked("launcher", [base, launcher]),
    guest: await unpacked("guest-tiny", [await guestLayer(debian, {})]),
  };
}

/** qemu's command line, run by the launcher image's own loader so that nothing of the machine's libraries is used. */
export function qemuCommand({ root, guest }: Machine, monitor: string, options: BootOptions): string[] {
  const { disk = false, memory = 128, append = "", cards = 1, devices = [] } = options;
  const boot = disk
    ? ["-drive", `file=${guest}/disk/disk.img,format=raw,if=virtio,snapshot=on`]
    : ["-kernel", `${guest}/boot/vmlinux`, "-initrd", `${guest}/boot/initrd.gz`];
  const arguments_ = disk ? [] : ["-append", `${kernelArguments} ${append}`.trim()];
  const card = [
    ...["-netdev", `tap,id=net0,ifname=${network.interface},script=no,downscript=no`],
    ...["-device", `virtio-net-pci,netdev=net0,mac=${network.mac}`],
  ];
  return [
    join(root, "usr/lib64/ld-linux-x86-64.so.2"),
    ...["--inhibit-cache", "--library-path", join(root, "usr/lib/x86_64-linux-gnu")],
    join(root, "usr/bin/qemu-system-x86_64"),
    ...["-L", join(root, "usr/share/qemu"), "-L", join(root, "usr/share/seabios")],
    ...["-machine", "q35", "-cpu", "max", "-accel", "tcg", "-m", String(memory)],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"],
    ...["-qmp", `unix:${monitor},server=on,wait=off`],
    ...boot,
    ...arguments_,
    ...(cards > 0 ? card : []),
    ...devices,
  ];
}

/** dnsmasq's command line: a DHCP server for one guest, and nothing else. */
export function dhcpCommand(): string[] {
  const { server, address, leaseSeconds } = network;
  const option = (name: string, value: string | number) => `--dhcp-option-force=${name},${value}`;
  return [
    ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0"],
    ...[
      "--user=root",
      "--pid-file=",
      "--leasefile-ro",
      "--no-ping",
      "--dhcp-authoritative",
      "--bind-interfaces",
    ],
    ...[`--interface=${network.interface}`, "--except-interface=lo"],
    `--dhcp-range=${address},${address},255.255.255.0,${leaseSeconds}`,
    `--dhcp-host=${network.mac},${address},${network.hostname}`,
    ...[
      option("option:mtu", network.mtu),
      option("option:router", server),
      option("option:dns-server", server),
    ],
    option("option:domain-search", network.search.join(",")),
    option("option:classless-static-route", `0.0.0.0/0,${server},192.0.2.0/24,0.0.0.0`),
  ];
}

/** A guest that runs in a network namespace of its own, until it is closed. */
export class RunningGuest {
  readonly namespace: string;
  /** Lines of the console with the milliseconds since qemu's start at which they came. */
  readonly lines: { readonly text: string; readonly at: number }[] = [];
  /** Settles when qemu ends, with the milliseconds since its start. */
  readonly ended: Promise<number>;
  readonly #qemu: ChildProcess;
  readonly #monitor: string;
  readonly #close: () => Promise<void>;
  readonly #waiters = new Set<() => void>();

  constructor(
    qemu: ChildProcess,
    namespace: string,
    monitor: string,
    onLine: ((line: string) => void) | undefined,
    close: () => Promise<void>,
  ) {
    const started = performance.now();
    this.#qemu = qemu;
    this.namespace = namespace;
    this.#monitor = monitor;
    this.#close = close;
    if (!qemu.stdout) throw new BootError("qemu has no standard output");
    createInterface({ input: qemu.stdout }).on("line", (text) => {
      this.lines.push({ text, at: performance.now() - started });
      onLine?.(text);
      for (const waiter of this.#waiters) waiter();
    });
    this.ended = new Promise((resolve) => {
      qemu.once("close", () => {
        resolve(performance.now() - started);
        for (const waiter of this.#waiters) waiter();
      });
    });
  }

  /**
   * The first line that matches, already seen or yet to come.
   *
   * @param from index in {@link lines} to look from
   * @param deadline milliseconds
   * @throws BootError when the guest ends or the deadline passes before
   */
  line(
    pattern: RegExp,
    from = 0,
    deadline = 60_000,
  ): Promise<{ readonly text: string; readonly at: number }> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#waiters.delete(look);
        act();
      };
      const fail = (why: string) => {
        const last = this.lines.slice(-5).map(({ text }) => text);
        reject(
          new BootError(
            `the guest printed nothing like ${pattern}: ${why}. Its last lines: ${last.join(" | ")}`,
          ),
        );
      };
      const look = () => {
        const found = this.lines.slice(from).find(({ text }) => pattern.test(text));
        if (found) settle(() => resolve(found));
        else if (this.#qemu.exitCode !== null) settle(() => fail("qemu ended"));
      };
      const timer = setTimeout(() => settle(() => fail(`not within ${deadline} ms`)), deadline);
      this.#waiters.add(look);
      look();
    });
  }

  /** Types on the serial console. */
  type(text: string): void {
    this.#qemu.stdin?.write(text);
  }

  /** Sends one command to qemu's monitor, such as `system_powerdown`. */
  async monitor(command: string): Promise<void> {
    const socket = connect(this.#monitor);
    const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
    try {
      await answers.next();
      for (const execute of ["qmp_capabilities", command]) {
        socket.write(`${JSON.stringify({ execute })}\n`);
        await answers.next();
      }
    } finally {
      socket.destroy();
    }
  }

  /** Fetches a page of the guest's web server. */
  async fetch(path: string): Promise<unknown> {
    const script = "fetch(process.argv[1]).then(async (r) => process.stdout.write(await r.text()))";
    const url = `http://${network.address}${path}`;
    return JSON.parse(await inNamespace(this.namespace, [process.execPath, "--eval", script, url]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qemu.kill("SIGKILL");
    await this.ended;
    await this.#close();
  }
}

function inNamespace(namespace: string, command: readonly string[]): Promise<string> {
  return run("ip", ["netns", "exec", namespace, ...command]);
}

/** Starts a guest; needs root, for the namespace and its tap. */
export async function bootGuest(machine: Machine, options: BootOptions = {}): Promise<RunningGuest> {
  const namespace = `virtpod-boot-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  const work = await mkdtemp(join(cacheFolder(), ".boot-"));
  await run("ip", ["netns", "add", namespace]);
  let dhcp: ChildProcess | undefined;
  const close = async () => {
    dhcp?.kill("SIGKILL");
    await run("ip", ["netns", "delete", namespace]);
    await rm(work, { recursive: true, force: true });
  };
  try {
    const tap = network.interface;
    const commands = [
      "link set lo up",
      `tuntap add ${tap} mode tap`,
      `address add ${network.server}/24 dev ${tap}`,
      `link set ${tap} up`,
    ];
    await run("ip", ["-netns", namespace, "-batch", "-"], { input: commands.join("\n") });
    dhcp = spawn("ip", ["netns", "exec", namespace, ...dhcpCommand()], { stdio: "ignore" });
    const monitor = join(work, "monitor");
    const command = qemuCommand(machine, monitor, options);
    const qemu = spawn("ip", ["netns", "exec", namespace, ...command], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    return new RunningGuest(qemu, namespace, monitor, options.onLine, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** Seconds from qemu's start to the guest's marks, and the guest's own uptime at its lease. */
export type Timeline = {
  readonly userSpaceSeconds: number;
  readonly leaseSeconds: number;
  readonly leaseUptimeSeconds: number;
};

/** Boots a guest, waits for its lease, ends it. */
export async function measureBoot(machine: Machine, options: BootOptions = {}): Promise<Timeline> {
  await using guest = await bootGuest(machine, options);
  const booted = await guest.line(/virtpod-guest: uptime=\S+ booted/);
  const lease = await guest.line(/virtpod-guest: uptime=\S+ lease /);
  return {
    userSpaceSeconds: booted.at / 1000,
    leaseSeconds: lease.at / 1000,
    leaseUptimeSeconds: Number(/uptime=(\S+)/.exec(lease.text)?.[1]),
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { disk: { type: "boolean" }, memory: { type: "string", default: "128" } },
  });
  const options = { disk: values.disk === true, memory: Number(values.memory), onLine: console.log };
  console.log(JSON.stringify(await measureBoot(await prepareMachine(), options)));
}
