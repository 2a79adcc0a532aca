/**
 * The guest agent's channel as libvirtd knows it, over a connection of its own: an agent that takes its time holds up
 * no call about the domain.
 */
import { connectLibvirt, type LibvirtConnection } from "../libvirt/calls.ts";
import type { DomainEvent } from "../libvirt/events.ts";
import type { DomainRef } from "../libvirt/structures.ts";

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
  let onEvent: (event: DomainEvent) => void = () => {};
  const connection = await connectLibvirt(socketPath, {
    maxMessageBytes: MAX_MESSAGE_BYTES,
    onEvent: (event) => onEvent(event),
  });
  return new LibvirtAgentConnection(connection, uuid, (listener) => {
    onEvent = listener;
  });
}

class LibvirtAgentConnection implements AgentConnection {
  readonly #connection: LibvirtConnection;
  readonly #domain: DomainRef;
  readonly #setListener: (listener: (event: DomainEvent) => void) => void;

  constructor(
    connection: LibvirtConnection,
    uuid: string,
    setListener: (listener: (event: DomainEvent) => void) => void,
  ) {
    this.#connection = connection;
    this.#domain = { name: "", uuid: uuid.toLowerCase(), id: -1 };
    this.#setListener = setListener;
  }

  get closed(): Promise<unknown> {
    return this.#connection.closed;
  }

  async follow(onChannel: (isOpen: boolean) => void): Promise<void> {
    this.#setListener((event) => {
      if (event.kind !== "agentLifecycle" || event.domain.uuid !== this.#domain.uuid) return;
      onChannel(event.connected);
    });
    // Asked for before the state is read, so that no change falls in between.
    await this.#connection.subscribe(["agentLifecycle"]);
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
