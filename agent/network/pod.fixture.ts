/** A node with a pod network, made of namespaces, veths and a bridge as the CNI bridge plugin would, for tests. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AnnouncedInterface } from "../../api/uplink-protocol.ts";
import type { WireOptions } from "./types.ts";

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

export class Node implements AsyncDisposable {
  readonly #namespaces: string[] = [];
  readonly #children: ChildProcess[] = [];
  readonly stateDirectory = mkdtempSync(join(tmpdir(), "virtpod-network-"));
  readonly netns = this.#makeNamespace("node");
  readonly path = `/run/netns/${this.netns}`;
  #pods = 0;

  constructor() {
    inside(this.netns, "ip link add name cni0 type bridge");
    inside(this.netns, "ip address add 10.244.0.1/24 dev cni0");
    inside(this.netns, "ip link set dev cni0 up");
  }

  #makeNamespace(role: string): string {
    const name = `vp-${process.pid}-${count++}-${role}`;
    execFileSync("ip", ["netns", "add", name]);
    this.#namespaces.push(name);
    inside(name, "ip link set dev lo up");
    return name;
  }

  /** A pod with eth0 on the node's bridge, and a default route by way of it. */
  addPod(address: string, mtu = 1500): Pod {
    const pod = this.#addVeth(mtu, true);
    inside(pod.netns, `ip address add ${address}/24 dev eth0`);
    inside(pod.netns, "ip route add default via 10.244.0.1 dev eth0");
    return pod;
  }

  /** As Calico does: a /32, a gateway that is no neighbour, and a node that answers ARP for it. */
  addRoutedPod(address: string): Pod {
    const host = `veth${this.#pods}`;
    const pod = this.#addVeth(1440, false);
    inside(pod.netns, `ip address add ${address}/32 dev eth0`);
    inside(pod.netns, "ip route add 169.254.1.1 dev eth0 scope link");
    inside(pod.netns, "ip route add default via 169.254.1.1 dev eth0");
    inside(this.netns, `ip route add ${address}/32 dev ${host} src 10.244.0.1`);
    inside(this.netns, `sysctl -qw net.ipv4.conf.${host}.proxy_arp=1 net.ipv4.ip_forward=1`);
    // The node answers ARP for what it would forward by another link.
    inside(this.netns, "ip route replace 169.254.1.1/32 dev cni0");
    return pod;
  }

  addSecondInterface(pod: Pod, address: string): void {
    const host = `veth${this.#pods++}`;
    inside(this.netns, `ip link add name ${host} type veth peer name net1 netns ${pod.netns}`);
    inside(this.netns, `ip link set dev ${host} up`);
    inside(pod.netns, `ip address add ${address}/24 dev net1`);
    inside(pod.netns, "ip link set dev net1 up");
  }

  #addVeth(mtu: number, bridged: boolean): Pod {
    const netns = this.#makeNamespace("pod");
    const host = `veth${this.#pods++}`;
    inside(
      this.netns,
      `ip link add name ${host} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${netns}`,
    );
    if (bridged) inside(this.netns, `ip link set dev ${host} master cni0`);
    inside(this.netns, `ip link set dev ${host} up`);
    inside(netns, "ip link set dev eth0 up");
    return { netns, path: `/run/netns/${netns}` };
  }

  /** A namespace whose eth0 has the given MAC and is plugged into a tap of the pod, as a guest's is by qemu. */
  async plugGuest(pod: Pod, tap: string, macAddress: string, mtu = 1500): Promise<Guest> {
    const netns = this.#makeNamespace("guest");
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

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    for (const name of this.#namespaces) execFileSync("ip", ["netns", "delete", name]);
    rmSync(this.stateDirectory, { recursive: true });
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

export function announce(overrides: Partial<AnnouncedInterface> = {}): AnnouncedInterface {
  return { name: "default", binding: "bridge", podInterface: "eth0", queues: 1, ...overrides };
}

/** For wiring one pod of a node, with one interface unless said otherwise. */
export function optionsFor(node: Node, pod: Pod, overrides: Partial<WireOptions> = {}): WireOptions {
  return {
    netns: pod.path,
    hostNetns: node.path,
    podUid: `pod-${pod.netns}`,
    interfaces: [announce()],
    stateDirectory: node.stateDirectory,
    ...overrides,
  };
}
