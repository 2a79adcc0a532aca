/**
 * Reads the guest agent's answers (qemu's qga/qapi-schema.json). A guest may say anything: what doesn't fit is left
 * out, what is too long is cut, and an answer of another kind altogether is none. Pure.
 */
import {
  type GuestAgentCommand,
  type GuestFileSystem,
  type GuestFileSystemDisk,
  type GuestInterface,
  type GuestOsInfo,
  type GuestTimezone,
  type GuestUser,
  MAX_GUEST_ONLY_INTERFACES,
} from "../../api/guest-agent.ts";
import { GuestAgentError } from "./errors.ts";

/** Longest name, version, mount point … of the guest's that is passed on, in characters. */
export const MAX_TEXT_CHARACTERS = 256;
export const MAX_ITEMS = 128;
const MAX_INTERFACE_NAME_CHARACTERS = 64;
const MAX_ADDRESSES = 16;
const MAX_DISKS = 16;
const MAC_ADDRESS = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
/** Characters of IPv4 and IPv6 addresses; a scope (`%eth0`) would mean nothing outside of the guest. */
const IP_ADDRESS = /^[0-9a-fA-F.:]{2,45}$/;

type Fields = Readonly<Record<string, unknown>>;

/** `guest-info` */
export interface AgentVersion {
  readonly version?: string;
  readonly commands: readonly GuestAgentCommand[];
}

export function readAgentVersion(answer: unknown): AgentVersion {
  const info = fields(answer, "guest-info");
  const commands = items(info["supported_commands"], 2 * MAX_ITEMS).flatMap((command) => {
    const name = text(command["name"]);
    return name === undefined ? [] : [{ name, enabled: command["enabled"] === true }];
  });
  return { ...optional("version", text(info["version"])), commands };
}

/** `guest-exec` */
export function readPid(answer: unknown): number {
  const { pid } = fields(answer, "guest-exec");
  if (typeof pid === "number" && Number.isSafeInteger(pid)) return pid;
  throw new GuestAgentError("GuestAgentAnswerMalformed", "guest-exec: the guest agent told no pid");
}

/** How a program in the guest ended. */
export type ExecEnd = { readonly status: number } | { readonly signal: number };

/** `guest-exec-status` */
export function readExecEnd(answer: unknown): ExecEnd | undefined {
  const { exited, exitcode, signal } = fields(answer, "guest-exec-status");
  if (exited !== true) return undefined;
  if (typeof signal === "number") return { signal };
  // Windows has no signals; a program that was ended there has neither.
  return { status: typeof exitcode === "number" ? exitcode : 1 };
}

/** `guest-get-osinfo` */
export function readOsInfo(answer: unknown): GuestOsInfo {
  const info = fields(answer, "guest-get-osinfo");
  return {
    ...optional("name", text(info["name"])),
    ...optional("kernelRelease", text(info["kernel-release"])),
    ...optional("version", text(info["version"])),
    ...optional("prettyName", text(info["pretty-name"])),
    ...optional("versionId", text(info["version-id"])),
    ...optional("kernelVersion", text(info["kernel-version"])),
    ...optional("machine", text(info["machine"])),
    ...optional("id", text(info["id"])),
  };
}

/** `guest-get-host-name` */
export function readHostname(answer: unknown): string | undefined {
  return text(fields(answer, "guest-get-host-name")["host-name"]);
}

/** `guest-get-timezone` */
export function readTimezone(answer: unknown): GuestTimezone {
  const { zone, offset } = fields(answer, "guest-get-timezone");
  return { ...optional("zone", text(zone)), offset: Math.trunc(finite(offset)) };
}

/** `guest-get-users` */
export function readUsers(answer: unknown): readonly GuestUser[] {
  return list(answer, "guest-get-users").flatMap((user) => {
    const userName = text(user["user"]);
    if (userName === undefined) return [];
    return [{ userName, ...optional("domain", text(user["domain"])), loginTime: finite(user["login-time"]) }];
  });
}

/** `guest-get-fsinfo` */
export function readFileSystems(answer: unknown): readonly GuestFileSystem[] {
  return list(answer, "guest-get-fsinfo").flatMap((entry) => {
    const diskName = text(entry["name"]);
    const mountPoint = text(entry["mountpoint"]);
    if (diskName === undefined || mountPoint === undefined) return [];
    return [
      {
        diskName,
        mountPoint,
        fileSystemType: text(entry["type"]) ?? "",
        usedBytes: bytes(entry["used-bytes"]),
        totalBytes: bytes(entry["total-bytes"]),
        disks: items(entry["disk"], MAX_DISKS).map(readDisk),
      },
    ];
  });
}

function readDisk(disk: Fields): GuestFileSystemDisk {
  return { ...optional("serial", text(disk["serial"])), busType: text(disk["bus-type"]) ?? "unknown" };
}

/**
 * `guest-network-get-interfaces`. The loopback is left out, and all but the first of what the VMI doesn't have.
 * @param macAddresses of the VMI's own interfaces, lower case
 */
export function readInterfaces(
  answer: unknown,
  macAddresses: ReadonlySet<string>,
): readonly GuestInterface[] {
  const isOwn = ({ macAddress }: GuestInterface) => macAddresses.has(macAddress ?? "");
  const all = list(answer, "guest-network-get-interfaces", Number.POSITIVE_INFINITY).flatMap(readInterface);
  const others = new Set(all.filter((one) => !isOwn(one)).slice(0, MAX_GUEST_ONLY_INTERFACES));
  // A guest may give one address to many interfaces: no more than the VMI has are its own.
  const own = new Set(all.filter(isOwn).slice(0, macAddresses.size));
  return all.filter((one) => own.has(one) || others.has(one));
}

function readInterface(entry: Fields): readonly GuestInterface[] {
  const interfaceName = text(entry["name"], MAX_INTERFACE_NAME_CHARACTERS);
  if (interfaceName === undefined || interfaceName === "lo") return [];
  const macAddress = text(entry["hardware-address"])?.toLowerCase();
  const ipAddresses = items(entry["ip-addresses"], MAX_ADDRESSES).flatMap((address) => {
    const ip = text(address["ip-address"]);
    return ip !== undefined && IP_ADDRESS.test(ip) ? [ip] : [];
  });
  return [
    {
      interfaceName,
      ...(macAddress !== undefined && MAC_ADDRESS.test(macAddress) && { macAddress }),
      ipAddresses,
    },
  ];
}

/** `guest-fsfreeze-status` */
export function readFrozen(answer: unknown): boolean {
  if (answer !== "frozen" && answer !== "thawed") throw malformed("guest-fsfreeze-status");
  return answer === "frozen";
}

function fields(answer: unknown, command: string): Fields {
  if (!isFields(answer)) throw malformed(command);
  return answer;
}

function list(answer: unknown, command: string, max = MAX_ITEMS): readonly Fields[] {
  if (!Array.isArray(answer)) throw malformed(command);
  return items(answer, max);
}

function items(value: unknown, max: number): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields).slice(0, max) : [];
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown, max = MAX_TEXT_CHARACTERS): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  // Half a surrogate pair would be no text any more.
  return value.slice(0, max).toWellFormed();
}

function finite(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function bytes(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function malformed(command: string): GuestAgentError {
  return new GuestAgentError("GuestAgentAnswerMalformed", `the guest agent's answer to ${command} is none`);
}
