/** What one guest agent has told since it connected, and what others are told of it. Pure. */
import type {
  GuestAgentInfo,
  GuestAgentStatus,
  GuestFileSystem,
  GuestInterface,
  GuestOsInfo,
  GuestTimezone,
  GuestUser,
} from "../../api/guest-agent.ts";
import type { AgentVersion } from "./answers.ts";

export interface AgentFacts {
  readonly version?: AgentVersion;
  readonly os?: GuestOsInfo;
  readonly hostname?: string;
  readonly timezone?: GuestTimezone;
  readonly interfaces: readonly GuestInterface[];
  readonly users: readonly GuestUser[];
  readonly fileSystems: readonly GuestFileSystem[];
  readonly frozen: boolean;
}

export const NO_FACTS: AgentFacts = { interfaces: [], users: [], fileSystems: [], frozen: false };

/** @param required names of the commands that the agent is to have */
export function agentStatus(facts: AgentFacts, required: readonly string[]): GuestAgentStatus {
  const { os, interfaces, frozen } = facts;
  const missing = required.filter((name) => !canDo(facts, name));
  return {
    ...(os !== undefined && { os }),
    interfaces,
    frozen,
    ...(missing.length > 0 && { unsupported: `the guest agent lacks ${missing.join(", ")}` }),
  };
}

export function agentInfo(facts: AgentFacts): GuestAgentInfo {
  const { version, interfaces: _, ...rest } = facts;
  return {
    ...rest,
    ...(version?.version !== undefined && { agentVersion: version.version }),
    supportedCommands: version?.commands ?? [],
  };
}

/** An agent that hasn't told what it can do is given every command. */
export function canDo({ version }: AgentFacts, command: string): boolean {
  if (version === undefined || version.commands.length === 0) return true;
  return version.commands.some(({ name, enabled }) => name === command && enabled);
}
