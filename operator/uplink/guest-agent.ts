/** Checks what a guest's agent told its launcher, on its way through two peers that need not be honest either. */
import {
  type AccessCredentialsStatus,
  type GuestAgentCommand,
  type GuestAgentInfo,
  type GuestAgentStatus,
  type GuestFileSystem,
  type GuestInterface,
  type GuestOsInfo,
  type GuestUser,
  MAX_GUEST_ONLY_INTERFACES,
} from "../../api/guest-agent.ts";
import { list, number, object, optionalText, sentence, text } from "./fields.ts";

const MAX_OWN_INTERFACES = 16;
const MAX_ADDRESSES = 16;
const MAX_ITEMS = 1024;

/** @throws OperatorError MalformedStatus naming the field */
export function parseGuestAgent(value: unknown): GuestAgentStatus {
  const { os, interfaces, frozen, unsupported } = object(value, "guestAgent");
  const max = MAX_OWN_INTERFACES + MAX_GUEST_ONLY_INTERFACES;
  return {
    interfaces: list(interfaces, "guestAgent.interfaces", max).map(parseInterface),
    frozen: frozen === true,
    ...(os === undefined ? {} : { os: parseOsInfo(os) }),
    ...(unsupported === undefined ? {} : { unsupported: sentence(unsupported, "guestAgent.unsupported") }),
  };
}

/** @throws OperatorError MalformedStatus naming the field */
export function parseAccessCredentials(value: unknown): AccessCredentialsStatus {
  const { synchronized, message } = object(value, "accessCredentials");
  return { synchronized: synchronized === true, message: sentence(message, "accessCredentials.message") };
}

/**
 * The answer to `GET /v1/guest-agent`.
 * @throws OperatorError MalformedStatus naming the field
 */
export function parseGuestAgentInfo(value: unknown): GuestAgentInfo {
  const info = object(value, "guestAgentInfo");
  const { os, timezone } = info;
  return {
    supportedCommands: list(info["supportedCommands"], "supportedCommands", MAX_ITEMS).map(parseCommand),
    users: list(info["users"], "users", MAX_ITEMS).map(parseUser),
    fileSystems: list(info["fileSystems"], "fileSystems", MAX_ITEMS).map(parseFileSystem),
    frozen: info["frozen"] === true,
    ...optionalText(info, "agentVersion", "guestAgentInfo"),
    ...optionalText(info, "hostname", "guestAgentInfo"),
    ...(os === undefined ? {} : { os: parseOsInfo(os) }),
    ...(timezone === undefined ? {} : { timezone: parseTimezone(timezone) }),
  };
}

function parseCommand(value: unknown): GuestAgentCommand {
  const { name, enabled } = object(value, "supportedCommands[]");
  return { name: text(name, "supportedCommands[].name"), enabled: enabled === true };
}

function parseTimezone(value: unknown): NonNullable<GuestAgentInfo["timezone"]> {
  const timezone = object(value, "timezone");
  return {
    ...optionalText(timezone, "zone", "timezone"),
    offset: number(timezone["offset"], "timezone.offset"),
  };
}

function parseUser(value: unknown): GuestUser {
  const user = object(value, "users[]");
  return {
    userName: text(user["userName"], "users[].userName"),
    ...optionalText(user, "domain", "users[]"),
    loginTime: number(user["loginTime"], "users[].loginTime"),
  };
}

function parseFileSystem(value: unknown): GuestFileSystem {
  const entry = object(value, "fileSystems[]");
  return {
    diskName: text(entry["diskName"], "fileSystems[].diskName"),
    mountPoint: text(entry["mountPoint"], "fileSystems[].mountPoint"),
    fileSystemType: text(entry["fileSystemType"], "fileSystems[].fileSystemType"),
    usedBytes: number(entry["usedBytes"], "fileSystems[].usedBytes"),
    totalBytes: number(entry["totalBytes"], "fileSystems[].totalBytes"),
    disks: list(entry["disks"], "fileSystems[].disks", MAX_ITEMS).map((value) => {
      const disk = object(value, "fileSystems[].disks[]");
      return {
        ...optionalText(disk, "serial", "fileSystems[].disks[]"),
        busType: text(disk["busType"], "fileSystems[].disks[].busType"),
      };
    }),
  };
}

function parseOsInfo(value: unknown): GuestOsInfo {
  const os = object(value, "guestAgent.os");
  const field = (name: keyof GuestOsInfo) => optionalText(os, name, "guestAgent.os");
  return {
    ...field("name"),
    ...field("kernelRelease"),
    ...field("version"),
    ...field("prettyName"),
    ...field("versionId"),
    ...field("kernelVersion"),
    ...field("machine"),
    ...field("id"),
  };
}

function parseInterface(value: unknown): GuestInterface {
  const iface = object(value, "guestAgent.interfaces[]");
  return {
    interfaceName: text(iface["interfaceName"], "guestAgent.interfaces[].interfaceName"),
    ipAddresses: list(iface["ipAddresses"], "guestAgent.interfaces[].ipAddresses", MAX_ADDRESSES).map(
      (address) => text(address, "guestAgent.interfaces[].ipAddresses[]"),
    ),
    ...optionalText(iface, "macAddress", "guestAgent.interfaces[]"),
  };
}
