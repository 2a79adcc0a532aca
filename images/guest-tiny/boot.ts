/**
 * Boots the test guest under bare qemu, with a DHCP server on its tap: no cluster, no libvirt, no launcher.
 * What a launcher adds to a guest's start is measured against this.
 *
 * `node images/guest-tiny/boot.ts [--disk] [--memory MiB]` prints the guest's console and, last, its timeline as JSON.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Debian } from "../debian.ts";
import { EmulatedGuest, emulator, emulatorRoot, unpacked } from "../emulator.ts";
import { cacheFolder } from "../layer.ts";
import { run } from "../process.ts";
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

/** Makes or finds the launcher's qemu and the guest. */
export async function prepareMachine(): Promise<Machine> {
  await needTools(["ip", "dnsmasq"]);
  const debian = new Debian();
  return {
    root: await emulatorRoot(debian),
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
    ...emulator(root),
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
export class RunningGuest extends EmulatedGuest {
  readonly namespace: string;

  constructor(
    qemu: ChildProcess,
    namespace: string,
    monitor: string,
    onLine: ((line: string) => void) | undefined,
    close: () => Promise<void>,
  ) {
    super(qemu, monitor, onLine, close);
    this.namespace = namespace;
  }

  /** Fetches a page of the guest's web server. */
  async fetch(path: string): Promise<unknown> {
    const script = "fetch(process.argv[1]).then(async (r) => process.stdout.write(await r.text()))";
    const url = `http://${network.address}${path}`;
    return JSON.parse(await inNamespace(this.namespace, [process.execPath, "--eval", script, url]));
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
