/** The agent's configuration, from its environment. Pure. */
import { join } from "node:path";
import { UPLINK_PORT } from "../api/names.ts";
import { DEVICE_PLUGIN_DIRECTORY } from "./device-plugin/protocol.ts";

export interface AgentConfig {
  /** Name of the operator's headless service, which its certificate names too: `virtpod-uplink.<namespace>.svc`. */
  readonly uplink: string;
  readonly uplinkPort: number;
  readonly tokenPath: string;
  readonly caPath: string;
  /** Mounted read-only into every launcher; the same path on the node and in the agent. */
  readonly socketDirectory: string;
  readonly announcementPath: string;
  readonly networkState: string;
  /** What CPU burst has raised. */
  readonly burstState: string;
  /** The node's /sys/fs/cgroup. */
  readonly cgroupRoot: string;
  /** Written by the agent's init container, which probes KVM. */
  readonly nodeFactsPath: string;
  readonly devicePluginDirectory: string;
  /** The node's network namespace and root directory, as a process with the node's pid namespace sees them. */
  readonly hostNetns: string;
  readonly hostRoot: string;
  readonly logLevel: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS: readonly string[] = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/** @throws Error naming the variable */
export function parseConfig(environment: Environment): AgentConfig {
  const directory = environment["VIRTPOD_STATE"] ?? "/var/lib/virtpod/agent";
  const socketDirectory = join(directory, "socket");
  const stateDirectory = join(directory, "state");
  return {
    uplink: required(environment, "VIRTPOD_UPLINK"),
    uplinkPort: port(environment, "VIRTPOD_UPLINK_PORT", UPLINK_PORT),
    tokenPath: environment["VIRTPOD_TOKEN"] ?? "/var/run/secrets/virtpod/token",
    caPath: environment["VIRTPOD_CA"] ?? "/etc/virtpod/ca/ca.crt",
    socketDirectory,
    announcementPath: join(stateDirectory, "launchers.json"),
    networkState: join(stateDirectory, "network"),
    burstState: join(stateDirectory, "cpu-burst"),
    cgroupRoot: environment["VIRTPOD_CGROUPS"] ?? "/host/sys/fs/cgroup",
    nodeFactsPath: join(socketDirectory, "node-facts.json"),
    devicePluginDirectory: environment["VIRTPOD_DEVICE_PLUGINS"] ?? DEVICE_PLUGIN_DIRECTORY,
    hostNetns: environment["VIRTPOD_HOST_NETNS"] ?? "/proc/1/ns/net",
    hostRoot: environment["VIRTPOD_HOST_ROOT"] ?? "/proc/1/root",
    logLevel: oneOf(environment, "VIRTPOD_LOG_LEVEL", LOG_LEVELS, "info"),
  };
}

function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (value === undefined || value === "") throw new Error(`the environment variable ${name} is not set`);
  return value;
}

function port(environment: Environment, name: string, fallback: number): number {
  const value = Number(environment[name] ?? fallback);
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new Error(`${name} is not a port number`);
  return value;
}

function oneOf(environment: Environment, name: string, values: readonly string[], fallback: string): string {
  const value = environment[name] ?? fallback;
  if (!values.includes(value)) throw new Error(`${name} is ${value}; it must be one of ${values.join(", ")}`);
  return value;
}
