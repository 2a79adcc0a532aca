/** libvirt as the launcher needs it: the calls of the driver's DomainPort, and what it tells by itself. */
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import type { DomainFact } from "./events.ts";

export interface HypervisorListener {
  /** libvirtd answers: the domain may be created. Told once. */
  onReady(): void;
  /** libvirtd could not be started at all. Told at most once, and never after onReady. */
  onFailed(error: unknown): void;
  onFact(fact: DomainFact): void;
  /** libvirtd was away; the domain's state has been read again and told. */
  onReconnected(): void;
}

/** What can be asked of the one domain, through a hypervisor that lasts or one connection that may not. */
export interface DomainCalls {
  create(xml: string, options: { readonly paused: boolean }): Promise<void>;
  /** The machine type that libvirt chose for the running domain. */
  machineType(): Promise<string | undefined>;
  acpiShutdown(): Promise<void>;
  destroy(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  reset(): Promise<void>;
  softReboot(): Promise<void>;
  statistics(): Promise<DomainStatistics>;
}

/** Every call rejects with code `LibvirtUnavailable` while libvirtd is away or when it dies meanwhile. */
export interface Hypervisor extends DomainCalls {
  /** Starts libvirtd, and again whenever it ends, until `close`. */
  run(): void;
  close(): void;
}
