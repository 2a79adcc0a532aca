/** The commands that a guest agent is given (qemu's qga/qapi-schema.json), each with how its answer is read. Pure. */
import type { GuestInterface } from "../../api/guest-agent.ts";
import type { LaunchAccessCredential } from "../../api/launch-spec.ts";
import { FREEZE_DEADLINE_MS } from "../../api/launcher-protocol.ts";
import {
  type ExecEnd,
  readAgentVersion,
  readExecEnd,
  readFileSystems,
  readFrozen,
  readHostname,
  readInterfaces,
  readOsInfo,
  readPid,
  readTimezone,
  readUsers,
} from "./answers.ts";
import { agentCredentials } from "./credentials.ts";
import { GuestAgentError } from "./errors.ts";

/** What an agent has for a command that only reads, in seconds. */
const DEADLINE_SECONDS = 5;
/** For one that starts programs: hashing a password alone takes seconds under emulation. */
const CHANGE_DEADLINE_SECONDS = 30;

export interface AgentCommand<T> {
  readonly name: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  /** What the agent has for it, in seconds. */
  readonly deadlineSeconds: number;
  /** @throws GuestAgentError GuestAgentAnswerMalformed */
  readonly read: (answer: unknown) => T;
}

function query<T>(name: string, read: (answer: unknown) => T): AgentCommand<T> {
  return { name, deadlineSeconds: DEADLINE_SECONDS, read };
}

export const VERSION = query("guest-info", readAgentVersion);
export const OS_INFO = query("guest-get-osinfo", readOsInfo);
export const HOSTNAME = query("guest-get-host-name", readHostname);
export const TIMEZONE = query("guest-get-timezone", readTimezone);
export const FILE_SYSTEMS = query("guest-get-fsinfo", readFileSystems);
export const USERS = query("guest-get-users", readUsers);
export const FREEZE_STATUS = query("guest-fsfreeze-status", readFrozen);

export function interfaces(macAddresses: ReadonlySet<string>): AgentCommand<readonly GuestInterface[]> {
  return query("guest-network-get-interfaces", (answer) => readInterfaces(answer, macAddresses));
}

/** Runs the guest's hooks and writes out what the guest holds. */
export const FREEZE: AgentCommand<void> = {
  name: "guest-fsfreeze-freeze",
  // libvirtd may take 5 s of its own.
  deadlineSeconds: FREEZE_DEADLINE_MS / 1000 - 10,
  read: () => {},
};

export const THAW: AgentCommand<void> = {
  name: "guest-fsfreeze-thaw",
  deadlineSeconds: CHANGE_DEADLINE_SECONDS,
  read: () => {},
};

/** The user's `authorized_keys` become these and no others. */
export function setAuthorizedKeys(username: string, keys: readonly string[]): AgentCommand<void> {
  return {
    name: "guest-ssh-add-authorized-keys",
    arguments: { username, keys, reset: true },
    deadlineSeconds: CHANGE_DEADLINE_SECONDS,
    read: () => {},
  };
}

export function setPassword(username: string, password: string): AgentCommand<void> {
  return {
    name: "guest-set-user-password",
    arguments: { username, password: Buffer.from(password).toString("base64"), crypted: false },
    deadlineSeconds: CHANGE_DEADLINE_SECONDS,
    read: () => {},
  };
}

export function ping(deadlineSeconds: number): AgentCommand<void> {
  return { name: "guest-ping", deadlineSeconds, read: () => {} };
}

/** Starts a program in the guest. What it prints is not kept: it could be more than the channel takes. */
export function execute([path = "", ...arg]: readonly string[]): AgentCommand<number> {
  const argument = { path, arg, "capture-output": false };
  return { name: "guest-exec", arguments: argument, deadlineSeconds: DEADLINE_SECONDS, read: readPid };
}

/** How a program ended that `execute` started; undefined while it runs. */
export function execution(pid: number): AgentCommand<ExecEnd | undefined> {
  return {
    name: "guest-exec-status",
    arguments: { pid },
    deadlineSeconds: DEADLINE_SECONDS,
    read: readExecEnd,
  };
}

/** What an agent must be able to do for this VMI; without it the VMI's status, or its guest, lacks something. */
export function requiredCommands(credentials: readonly LaunchAccessCredential[]): readonly string[] {
  const own = agentCredentials(credentials);
  const has = (kind: LaunchAccessCredential["kind"]) => own.some((credential) => credential.kind === kind);
  return [
    VERSION,
    OS_INFO,
    HOSTNAME,
    TIMEZONE,
    FILE_SYSTEMS,
    USERS,
    interfaces(new Set()),
    ...(has("sshPublicKey") ? [setAuthorizedKeys("", [])] : []),
    ...(has("userPassword") ? [setPassword("", "")] : []),
  ].map(({ name }) => name);
}

export function encodeCommand(command: AgentCommand<unknown>): string {
  return JSON.stringify({ execute: command.name, arguments: command.arguments });
}

/** @throws GuestAgentError GuestAgentAnswerMalformed */
export function decodeAnswer<T>(command: AgentCommand<T>, text: string): T {
  return command.read(returned(command, text));
}

function returned(command: AgentCommand<unknown>, text: string): unknown {
  try {
    return (JSON.parse(text) as { return?: unknown }).return;
  } catch (cause) {
    const message = `the guest agent's answer to ${command.name} is no JSON`;
    throw new GuestAgentError("GuestAgentAnswerMalformed", message, { cause });
  }
}
