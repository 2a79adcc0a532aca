/** Network namespaces, guests plugged into taps, and processes, all gone when the test is; needs root. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PUMP = new URL("./guest-pump.fixture.ts", import.meta.url).pathname;

let count = 0;

export interface Pod {
  readonly netns: string;
  readonly path: string;
}

export interface Guest {
  readonly netns: string;
  /** Sends a raw Ethernet frame, as a guest can. */
  inject(frame: Uint8Array): void;
}

export class Lab implements AsyncDisposable {
  readonly #namespaces = new Set<string>();
  readonly #children: ChildProcess[] = [];
  #isClosed = false;
  readonly stateDirectory = mkdtempSync(join(tmpdir(), "virtpod-network-"));

  makeNamespace(role: string): string {
    // Whoever interrupts a lab clears it up beside its work.
    if (this.#isClosed) throw new Error("the lab is closed");
    const name = `vp-${process.pid}-${count++}-${role}`;
    execFileSync("ip", ["netns", "add", name]);
    this.#namespaces.add(name);
    inside(name, "ip link set dev lo up");
    return name;
  }

  makePod(): Pod {
    const netns = this.makeNamespace("pod");
    return { netns, path: `/run/netns/${netns}` };
  }

  /** As the runtime does at a pod's end; the kernel takes the links in it down some time later. */
  removeNamespace(name: string): void {
    execFileSync("ip", ["netns", "delete", name]);
    this.#namespaces.delete(name);
  }

  /** A namespace whose eth0 has the given MAC and is plugged into a tap of the pod, as a guest's is by qemu. */
  async plugGuest(pod: Pod, tap: string, macAddress: string, mtu = 1500): Promise<Guest> {
    const netns = this.makeNamespace("guest");
    inside(netns, "ip tuntap add dev eth0 mode tap vnet_hdr");
    inside(netns, `ip link set dev eth0 address ${macAddress} mtu ${mtu}`);
    inside(netns, "ip link set dev eth0 addrgenmode none");
    inside(netns, "ip link set dev eth0 up");
    const child = spawn(process.execPath, [PUMP, pod.path, tap, `/run/netns/${netns}`, "eth0"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    await Promise.race([
      once(child.stdout, "data"),
      once(child, "exit").then(() => Promise.reject(new Error("the pump ended"))),
    ]);
    return { netns, inject: (frame) => void child.stdin.write(`${Buffer.from(frame).toString("hex")}\n`) };
  }

  adopt(child: ChildProcess): void {
    this.#children.push(child);
  }

  async endChildren(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.endChildren();
    for (const name of [...this.#namespaces]) this.removeNamespace(name);
    rmSync(this.stateDirectory, { recursive: true, force: true });
  }
}

/** Runs one command, words split at spaces, in a namespace; its standard output. Throws when it fails. */
export function inside(netns: string, command: string): string {
  return execFileSync("ip", ["netns", "exec", netns, ...command.split(" ")], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 30_000,
  });
}

export function succeeds(netns: string, command: string): boolean {
  try {
    inside(netns, command);
    return true;
  } catch {
    return false;
  }
}
