/** libvirt's calls as a launcher needs them, typed. One connection to one daemon. */
import type { CallOptions, RpcConnection } from "./connection.ts";
import type { LibvirtError } from "./errors.ts";
import { type DomainEvent, type DomainEventKind, EVENT_IDS } from "./events.ts";
import {
  CREATE_PAUSED,
  CREATE_VALIDATE,
  DEFINE_VALIDATE,
  MEMORY_STATS,
  POWER_BUTTON,
  PROCEDURE,
  type Procedure,
} from "./protocol.ts";
import {
  type DomainInfo,
  type DomainState,
  type MemoryStats,
  readDomains,
  readInfo,
  readInt,
  readMemoryStats,
  readState,
  readStats,
  readString,
  readVersion,
} from "./replies.ts";
import { type DomainRef, readDomain, type TypedParameters, writeDomain, writeUuid } from "./structures.ts";
import type { XdrWriter } from "./xdr.ts";

export type DomainEventListener = (event: DomainEvent) => void;

/** How a domain is created: paused before its first instruction, checked against libvirt's schema. */
export interface CreateOptions extends CallOptions {
  readonly paused?: boolean;
  /** Without it libvirt silently drops elements that it doesn't know. */
  readonly validate?: boolean;
}

/** virDomainStatsTypes. */
export const STATS = { state: 1, cpu: 2, balloon: 4, vcpu: 8, interface: 16, block: 32 } as const;

/** Every method throws LibvirtError (see `RpcConnection.call`). */
export class LibvirtConnection {
  readonly #rpc: RpcConnection;
  readonly #listeners: Map<DomainEventKind, DomainEventListener>;

  /** @param listeners told of the connection's events; `subscribe` fills it */
  constructor(rpc: RpcConnection, listeners: Map<DomainEventKind, DomainEventListener>) {
    this.#rpc = rpc;
    this.#listeners = listeners;
  }

  /** Resolves with the reason when the connection ends; never rejects. */
  get closed(): Promise<LibvirtError> {
    return this.#rpc.closed;
  }

  /** The daemon keeps what it has; events end. Idempotent. */
  close(): void {
    this.#rpc.close();
  }

  /** Version of the hypervisor, e.g. `10.0.13`. The first call of a daemon's life probes qemu: seconds when cold. */
  hypervisorVersion(options?: CallOptions): Promise<string> {
    return this.#rpc.call(PROCEDURE.connectGetVersion, nothing, readVersion, options);
  }

  libraryVersion(options?: CallOptions): Promise<string> {
    return this.#rpc.call(PROCEDURE.connectGetLibVersion, nothing, readVersion, options);
  }

  /** What a domain of this kind may have, as XML (`<domainCapabilities>`). */
  domainCapabilities(
    of: { readonly emulator: string; readonly arch: string; readonly machine: string; readonly type: string },
    options?: CallOptions,
  ): Promise<string> {
    const { emulator, arch, machine, type } = of;
    return this.#rpc.call(
      PROCEDURE.connectGetDomainCapabilities,
      (writer) =>
        writer
          .optionalString(emulator)
          .optionalString(arch)
          .optionalString(machine)
          .optionalString(type)
          .uint(0),
      readString,
      options,
    );
  }

  listDomains(options?: CallOptions): Promise<readonly DomainRef[]> {
    return this.#rpc.call(
      PROCEDURE.connectListAllDomains,
      (writer) => writer.int(1).uint(0),
      readDomains,
      options,
    );
  }

  /** @throws LibvirtError `DomainNotFound` */
  lookupDomain(uuid: string, options?: CallOptions): Promise<DomainRef> {
    return this.#rpc.call(
      PROCEDURE.domainLookupByUuid,
      (writer) => writeUuid(writer, uuid),
      readDomain,
      options,
    );
  }

  /** Starts a transient domain: it is forgotten once it has ended. */
  createDomain(xml: string, options: CreateOptions = {}): Promise<DomainRef> {
    const flags = (options.paused ? CREATE_PAUSED : 0) | (options.validate ? CREATE_VALIDATE : 0);
    return this.#rpc.call(
      PROCEDURE.domainCreateXml,
      (writer) => writer.string(xml).uint(flags),
      readDomain,
      options,
    );
  }

  /** Makes a domain known without starting it. */
  defineDomain(xml: string, options: Omit<CreateOptions, "paused"> = {}): Promise<DomainRef> {
    const flags = options.validate ? DEFINE_VALIDATE : 0;
    return this.#rpc.call(
      PROCEDURE.domainDefineXmlFlags,
      (writer) => writer.string(xml).uint(flags),
      readDomain,
      options,
    );
  }

  startDomain(domain: DomainRef, options: Omit<CreateOptions, "validate"> = {}): Promise<DomainRef> {
    const flags = options.paused ? CREATE_PAUSED : 0;
    return this.#rpc.call(
      PROCEDURE.domainCreateWithFlags,
      (writer) => {
        writeDomain(writer, domain);
        writer.uint(flags);
      },
      readDomain,
      options,
    );
  }

  undefineDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainUndefineFlags, domain, 0, options);
  }

  /** Ends the domain at once. `DomainNotFound` and `DomainStateInvalid` mean that it had ended before. */
  destroyDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainDestroyFlags, domain, 0, options);
  }

  /** Presses the ACPI power button; the guest may ignore it. */
  shutdownDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainShutdownFlags, domain, POWER_BUTTON, options);
  }

  /** Asks the guest by ACPI to power off, and resets the domain instead of ending it when it does. */
  rebootDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainReboot, domain, POWER_BUTTON, options);
  }

  /** The reset button: the guest isn't asked. */
  resetDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainReset, domain, 0, options);
  }

  /** Idempotent. */
  suspendDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainSuspend, domain, undefined, options);
  }

  resumeDomain(domain: DomainRef, options?: CallOptions): Promise<void> {
    return this.#command(PROCEDURE.domainResume, domain, undefined, options);
  }

  domainState(domain: DomainRef, options?: CallOptions): Promise<DomainState> {
    return this.#rpc.call(PROCEDURE.domainGetState, ofDomain(domain, 0), readState, options);
  }

  domainInfo(domain: DomainRef, options?: CallOptions): Promise<DomainInfo> {
    return this.#rpc.call(PROCEDURE.domainGetInfo, ofDomain(domain), readInfo, options);
  }

  /** The domain as libvirt runs it, without secrets. */
  domainXml(domain: DomainRef, options?: CallOptions): Promise<string> {
    return this.#rpc.call(PROCEDURE.domainGetXmlDesc, ofDomain(domain, 0), readString, options);
  }

  /** @param groups sum of `STATS`; keys are flat: `net.0.rx.bytes`, `block.0.rd.bytes`, `vcpu.0.time` (ns) */
  domainStats(
    domain: DomainRef,
    groups: number,
    options?: CallOptions,
  ): Promise<TypedParameters | undefined> {
    return this.#rpc.call(
      PROCEDURE.connectGetAllDomainStats,
      (writer) => writer.array([domain], writeDomain).uint(groups).uint(0),
      readStats,
      options,
    );
  }

  /** Most only where the guest drives its balloon. */
  memoryStats(domain: DomainRef, options?: CallOptions): Promise<MemoryStats> {
    return this.#rpc.call(
      PROCEDURE.domainMemoryStats,
      (writer) => {
        writeDomain(writer, domain);
        writer.uint(MEMORY_STATS.length).uint(0);
      },
      readMemoryStats,
      options,
    );
  }

  /** A QMP command as JSON text; qemu's refusal is an `error` member in the answer. Taints the domain. */
  monitorCommand(domain: DomainRef, command: string, options?: CallOptions): Promise<string> {
    return this.#rpc.call(
      PROCEDURE.monitorCommand,
      (writer) => {
        writeDomain(writer, domain);
        writer.string(command).uint(0);
      },
      readString,
      options,
    );
  }

  /**
   * A command to the guest agent as JSON text, and its answer. libvirtd synchronises with the agent first, for which
   * it takes up to 5 s of its own. Taints the domain.
   * @param deadlineSeconds the agent's, from when it has been given the command
   * @throws LibvirtError `GuestAgentUnresponsive`, `GuestAgentTimeout`, `GuestAgentCommandFailed` with the agent's own words
   */
  async agentCommand(
    domain: DomainRef,
    command: string,
    deadlineSeconds: number,
    options?: CallOptions,
  ): Promise<string> {
    const answer = await this.#rpc.call(
      PROCEDURE.agentCommand,
      (writer) => {
        writeDomain(writer, domain);
        writer.string(command).int(deadlineSeconds).uint(0);
      },
      (reader) => reader.optionalString(),
      options,
    );
    return answer ?? "";
  }

  /**
   * Asks for events of all domains, each kind once per connection. Lost with the connection; nothing is replayed:
   * subscribe first, then read the state.
   * @param onEvent an event that a call causes may come before or after its reply
   */
  async subscribe(
    kinds: readonly DomainEventKind[],
    onEvent: DomainEventListener,
    options?: CallOptions,
  ): Promise<void> {
    for (const kind of kinds) this.#listeners.set(kind, onEvent);
    await Promise.all(
      kinds.map((kind) =>
        this.#rpc.call(
          PROCEDURE.eventRegister,
          (writer) => writer.int(EVENT_IDS[kind]).uint(0),
          readInt, // callback id
          options,
        ),
      ),
    );
  }

  #command(
    procedure: Procedure,
    domain: DomainRef,
    flags: number | undefined,
    options: CallOptions | undefined,
  ): Promise<void> {
    return this.#rpc.call(procedure, ofDomain(domain, flags), nothing, options);
  }
}

function nothing(): void {}

function ofDomain(domain: DomainRef, flags?: number): (writer: XdrWriter) => void {
  return (writer) => {
    writeDomain(writer, domain);
    if (flags !== undefined) writer.uint(flags);
  };
}
