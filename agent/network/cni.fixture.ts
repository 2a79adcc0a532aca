/**
 * Asks real CNI plugins, those of the development cluster, as a container runtime does: the configuration on standard
 * input, what to do in the environment (CNI specification 1.0.0, section 2). Needs root.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Pod } from "./lab.fixture.ts";

const TOOL = new URL("../../cluster/tool", import.meta.url).pathname;
/** What host-local keeps besides one file for each address. */
const NO_ADDRESS = ["lock", "last_reserved_ip.0", "last_reserved_ip.1"];

/** One of CNI's `main` plugins with addresses from host-local. */
export interface CniConfig {
  readonly name: string;
  readonly type: "bridge" | "ptp";
  /** Without one the pods get no address. */
  readonly subnets: readonly string[];
  /** Destinations that the pods get routes to by way of their gateway. */
  readonly routes: readonly string[];
  readonly mtu?: number;
  /** The plugin's own settings. */
  readonly more?: Readonly<Record<string, unknown>>;
}

export class CniNetwork {
  readonly #node: string;
  readonly #config: CniConfig;
  readonly #leases: string;
  readonly #folder: string;

  /** @param leases directory in which the node's host-local keeps who has which address */
  constructor(nodeNetns: string, leases: string, config: CniConfig) {
    this.#node = nodeNetns;
    this.#config = config;
    this.#leases = leases;
    // Built when they are missing.
    this.#folder = dirname(tool(config.type));
    tool("host-local");
  }

  /** Gives the pod an eth0. @returns its addresses, without prefix length */
  add(pod: Pod): readonly string[] {
    const result = JSON.parse(this.#run("ADD", pod)) as {
      readonly ips?: readonly { readonly address: string }[];
    };
    return (result.ips ?? []).map(({ address }) => address.slice(0, address.indexOf("/")));
  }

  del(pod: Pod): void {
    this.#run("DEL", pod);
  }

  /** Addresses that the network holds for pods. */
  get heldAddresses(): readonly string[] {
    if (this.#config.subnets.length === 0) return [];
    const names = readdirSync(join(this.#leases, this.#config.name));
    return names.filter((name) => !NO_ADDRESS.includes(name));
  }

  get #addressing(): object {
    const { subnets, routes } = this.#config;
    return {
      type: "host-local",
      ranges: subnets.map((subnet) => [{ subnet }]),
      routes: routes.map((dst) => ({ dst })),
      dataDir: this.#leases,
    };
  }

  #run(command: "ADD" | "DEL", pod: Pod): string {
    const { name, type, subnets, mtu, more } = this.#config;
    const config = {
      cniVersion: "1.0.0",
      name,
      type,
      ...(mtu === undefined ? {} : { mtu }),
      ...more,
      ...(subnets.length === 0 ? {} : { ipam: this.#addressing }),
    };
    const plugin = ["netns", "exec", this.#node, join(this.#folder, type)];
    const { status, stdout, stderr } = spawnSync("ip", plugin, {
      input: JSON.stringify(config),
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"],
        CNI_COMMAND: command,
        CNI_CONTAINERID: pod.netns,
        CNI_NETNS: pod.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: this.#folder,
      },
    });
    if (status !== 0) throw new Error(`CNI ${command} by ${type}: ${stdout}${stderr}`);
    return stdout;
  }
}

function tool(name: string): string {
  return execFileSync(TOOL, [name], { encoding: "utf8" }).trim();
}
