/**
 * The guest agent's channel as libvirtd knows it, over a connection of its own: an agent that takes its time holds up
 * no call about the domain.
 */
import type { LibvirtConnection } from "../libvirt/calls.ts";
import { connectLibvirt } from "../libvirt/driver.ts";
import { type DomainRef, refByUuid } from "../libvirt/structures.ts";

/** Far above any honest answer: a guest must not fill the launcher's memory. In bytes. */
const MAX_MESSAGE_BYTES = 512 * 1024;
/** libvirtd synchronises with the agent for up to 5 s before the command's own deadline begins. */
const BEYOND_DEADLINE_MS = 10_000;
const CHANNEL = "org.qemu.guest_agent.0";

export interface AgentConnection {
  /** Resolves when the connection to libvirtd is over, however it ended. */
  readonly closed: Promise<unknown>;
  /** Tells whether the guest has the channel open, now and whenever that changes. */
  follow(onChannel: (isOpen: boolean) => void): Promise<void>;
  /**
   * One command as JSON text, and its answer.
   * @throws LibvirtError
   */
  command(text: string, deadlineSeconds: number): Promise<string>;
  close(): void;
}

/** @throws LibvirtError */
export async function connectAgent(socketPath: string, uuid: string): Promise<AgentConnection> {
  const connection = await connectLibvirt(socketPath, { maxMessageBytes: MAX_MESSAGE_BYTES });
  return new LibvirtAgentConnection(connection, uuid);
}

class LibvirtAgentConnection implements AgentConnection {
  readonly #connection: LibvirtConnection;
  readonly #domain: DomainRef;

  constructor(connection: LibvirtConnection, uuid: string) {
    this.#connection = connection;
    this.#domain = refByUuid(uuid);
  }

  get closed(): Promise<unknown> {
    return this.#connection.closed;
  }

  async follow(onChannel: (isOpen: boolean) => void): Promise<void> {
    // Before the state is read, so that no change falls in between.
    await this.#connection.subscribe(["agentLifecycle"], (event) => {
      if (event.kind !== "agentLifecycle" || event.domain.uuid !== this.#domain.uuid) return;
      onChannel(event.connected);
    });
    onChannel(isChannelOpen(await this.#connection.domainXml(this.#domain)));
  }

  command(text: string, deadlineSeconds: number): Promise<string> {
    const timeoutMs = deadlineSeconds * 1000 + BEYOND_DEADLINE_MS;
    return this.#connection.agentCommand(this.#domain, text, deadlineSeconds, { timeoutMs });
  }

  close(): void {
    this.#connection.close();
  }
}

/** @param xml the running domain, as libvirt writes it */
export function isChannelOpen(xml: string): boolean {
  const target = xml.match(/<target\b[^>]*>/g)?.find((element) => element.includes(CHANNEL));
  return target !== undefined && /\bstate=['"]connected['"]/.test(target);
}
