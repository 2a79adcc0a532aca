/** The operator's announcement: which launchers the agent may serve on this node. Checks of its shape. Pure. */
import {
  BURST_POLICIES,
  type CpuBurstStrategy,
  MAX_BURST_PERCENT,
  MAX_QUOTA_PERCENT,
  MAX_QUOTA_PERIOD_SECONDS,
  MIN_BURST_PERCENT,
  MIN_QUOTA_PERCENT,
  UNLIMITED_QUOTA_PERIOD_SECONDS,
} from "../../api/cpu-burst.ts";
import {
  AGENT_LOG_LEVELS,
  type AgentSettings,
  type AnnouncedBridge,
  type AnnouncedCpu,
  type AnnouncedInterface,
  type AnnouncedLauncher,
  type AnnouncedMasquerade,
  type ForwardedPort,
  type LauncherAnnouncement,
} from "../../api/uplink-protocol.ts";
import { AgentError } from "../errors.ts";

/** Far above the pods that a kubelet runs. */
const MAX_LAUNCHERS = 1000;
/** Bridge addresses are 169.254.75.10 to .19. */
const MAX_INTERFACES = 10;
const MAX_NAME = 253;
const MAX_QUEUES = 256;
/** The schema's. */
const MAX_PORTS = 64;
/** Ten thousand CPUs. */
const MAX_MILLI_CPU = 10_000_000;
const MAX_VERSION = 64;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
const IPV4_CIDR = /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/;
/** IFNAMSIZ leaves 15 characters; the kernel would allow more kinds of them. */
const LINK_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/;

/** @throws AgentError InvalidAnnouncement, naming the field */
export function parseAnnouncement(value: unknown): LauncherAnnouncement {
  const body = record(value, "the announcement");
  const launchers = list(body["launchers"], "launchers", MAX_LAUNCHERS).map(parseLauncher);
  if (new Set(launchers.map(({ podUid }) => podUid)).size !== launchers.length) {
    throw invalid("launchers", "no pod twice");
  }
  return {
    term: integer(body["term"], "term", 0, Number.MAX_SAFE_INTEGER),
    launchers,
    ...(body["settings"] !== undefined && { settings: parseSettings(body["settings"]) }),
  };
}

function parseSettings(value: unknown): AgentSettings {
  const settings = record(value, "settings");
  return {
    version: name(settings["version"], "settings.version", MAX_VERSION),
    logLevel: oneOf(settings["logLevel"], "settings.logLevel", AGENT_LOG_LEVELS),
    sharePoolThresholdPercent: integer(
      settings["sharePoolThresholdPercent"],
      "settings.sharePoolThresholdPercent",
      0,
      100,
    ),
  };
}

function parseLauncher(value: unknown, index: number): AnnouncedLauncher {
  const at = `launchers[${index}]`;
  const launcher = record(value, at);
  return {
    podUid: text(launcher["podUid"], `${at}.podUid`, UUID),
    podName: name(launcher["podName"], `${at}.podName`),
    namespace: name(launcher["namespace"], `${at}.namespace`),
    vmiName: name(launcher["vmiName"], `${at}.vmiName`),
    vmiUid: text(launcher["vmiUid"], `${at}.vmiUid`, UUID),
    interfaces: list(launcher["interfaces"], `${at}.interfaces`, MAX_INTERFACES).map((item, i) =>
      parseInterface(item, `${at}.interfaces[${i}]`),
    ),
    ...(launcher["cpu"] !== undefined && { cpu: parseCpu(launcher["cpu"], `${at}.cpu`) }),
  };
}

function parseCpu(value: unknown, at: string): AnnouncedCpu {
  const cpu = record(value, at);
  const { podBaseMilliCpu, isResizing } = cpu;
  const baseMilliCpu = integer(cpu["baseMilliCpu"], `${at}.baseMilliCpu`, 1, MAX_MILLI_CPU);
  if (isResizing !== undefined && isResizing !== true) throw invalid(`${at}.isResizing`, "`true` or absent");
  return {
    baseMilliCpu,
    ...(podBaseMilliCpu !== undefined && {
      podBaseMilliCpu: integer(podBaseMilliCpu, `${at}.podBaseMilliCpu`, baseMilliCpu, MAX_MILLI_CPU),
    }),
    burst: parseStrategy(cpu["burst"], `${at}.burst`),
    ...(isResizing === true && { isResizing }),
  };
}

function parseStrategy(value: unknown, at: string): CpuBurstStrategy {
  const strategy = record(value, at);
  const field = (name: string, min: number, max: number) =>
    integer(strategy[name], `${at}.${name}`, min, max);
  return {
    policy: oneOf(strategy["policy"], `${at}.policy`, BURST_POLICIES),
    percent: field("percent", MIN_BURST_PERCENT, MAX_BURST_PERCENT),
    quotaPercent: field("quotaPercent", MIN_QUOTA_PERCENT, MAX_QUOTA_PERCENT),
    quotaPeriodSeconds: field("quotaPeriodSeconds", UNLIMITED_QUOTA_PERIOD_SECONDS, MAX_QUOTA_PERIOD_SECONDS),
  };
}

function parseInterface(value: unknown, at: string): AnnouncedInterface {
  const item = record(value, at);
  const common = {
    name: name(item["name"], `${at}.name`),
    podInterface: text(item["podInterface"], `${at}.podInterface`, LINK_NAME),
    queues: integer(item["queues"], `${at}.queues`, 1, MAX_QUEUES),
    ...(item["macAddress"] !== undefined && {
      macAddress: text(item["macAddress"], `${at}.macAddress`, MAC).toLowerCase(),
    }),
  };
  switch (item["binding"]) {
    case "bridge":
      return { ...common, binding: "bridge", ...parseUnguarded(item["unguarded"], at) };
    case "masquerade":
      return { ...common, binding: "masquerade", ...parseMasquerade(item, at) };
    default:
      throw invalid(`${at}.binding`, "`bridge` or `masquerade`");
  }
}

function parseUnguarded(value: unknown, at: string): Pick<AnnouncedBridge, "unguarded"> {
  if (value === undefined) return {};
  if (value !== true) throw invalid(`${at}.unguarded`, "`true` or absent");
  return { unguarded: true };
}

function parseMasquerade(
  item: Readonly<Record<string, unknown>>,
  at: string,
): Pick<AnnouncedMasquerade, "vmNetworkCidr" | "ports"> {
  return {
    vmNetworkCidr: text(item["vmNetworkCidr"], `${at}.vmNetworkCidr`, IPV4_CIDR),
    ports: list(item["ports"], `${at}.ports`, MAX_PORTS).map((port, i) =>
      parsePort(port, `${at}.ports[${i}]`),
    ),
  };
}

function parsePort(value: unknown, at: string): ForwardedPort {
  const { protocol, port } = record(value, at);
  if (protocol !== "TCP" && protocol !== "UDP") throw invalid(`${at}.protocol`, "`TCP` or `UDP`");
  return { protocol, port: integer(port, `${at}.port`, 1, 65_535) };
}

function record(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(at, "an object");
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, at: string, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max) throw invalid(at, `a list of at most ${max}`);
  return value;
}

function integer(value: unknown, at: string, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(at, `an integer from ${min} to ${max}`);
  }
  return value as number;
}

function text(value: unknown, at: string, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value))
    throw invalid(at, `a string that matches ${pattern}`);
  return value;
}

function name(value: unknown, at: string, maxLength = MAX_NAME): string {
  if (typeof value !== "string" || value === "" || value.length > maxLength) {
    throw invalid(at, `a string of 1 to ${maxLength} characters`);
  }
  return value;
}

function oneOf<const Word extends string>(value: unknown, at: string, words: readonly Word[]): Word {
  const word = words.find((one) => one === value);
  if (word === undefined) throw invalid(at, `one of ${words.join(", ")}`);
  return word;
}

function invalid(at: string, expected: string): AgentError {
  return new AgentError("InvalidAnnouncement", `${at} must be ${expected}`);
}
