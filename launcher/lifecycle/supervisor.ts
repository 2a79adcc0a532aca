/**
 * Keeps libvirtd running and a connection to it. libvirtd is a helper that may die at any time: the guest's qemu
 * goes on without it, and a new libvirtd finds it again. After each reconnect the domain's state is read and told as
 * a fact, for events may have been missed; listening comes first, so that nothing falls in between.
 */
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { LauncherError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { DomainFact } from "./events.ts";
import type { DomainCalls, Hypervisor, HypervisorListener } from "./hypervisor.ts";

/** libvirtd's process. */
export interface Daemon {
  /** Resolves when it has ended. */
  readonly exited: Promise<unknown>;
  stop(): void;
}

/** A connection to libvirtd, about the launcher's one domain. When it ends, open calls reject with code `LibvirtUnavailable`. */
export interface DomainConnection extends DomainCalls {
  /** Resolves when the connection is over, however it ended. */
  readonly closed: Promise<unknown>;
  /** Tells facts from now on. */
  listen(onFact: (fact: DomainFact) => void): Promise<void>;
  /** The domain's state, as the fact that brought it about. */
  readState(): Promise<DomainFact>;
  close(): void;
}

export interface SupervisorOptions {
  /** @throws where libvirtd doesn't come up by its own deadline */
  readonly startDaemon: () => Promise<Daemon>;
  readonly connect: () => Promise<DomainConnection>;
  readonly listener: HypervisorListener;
  readonly clock: Clock;
  readonly log: Log;
}

const RESTART = { initialMs: 20, maxMs: 5_000, resetAfterMs: 30_000 };

export class Supervisor implements Hypervisor {
  readonly #options: SupervisorOptions;
  readonly #closing = new AbortController();
  #daemon: Daemon | undefined;
  #connection: DomainConnection | undefined;
  #wasReady = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  run(): void {
    void this.#keepConnected();
  }

  create = (xml: string, options: { readonly paused: boolean }) =>
    this.#call((connection) => connection.create(xml, options));
  machineType = () => this.#call((connection) => connection.machineType());
  acpiShutdown = () => this.#call((connection) => connection.acpiShutdown());
  destroy = () => this.#call((connection) => connection.destroy());
  pause = () => this.#call((connection) => connection.pause());
  resume = () => this.#call((connection) => connection.resume());
  reset = () => this.#call((connection) => connection.reset());
  softReboot = () => this.#call((connection) => connection.softReboot());
  statistics = () => this.#call((connection) => connection.statistics());

  close(): void {
    this.#closing.abort();
    this.#connection?.close();
    this.#daemon?.stop();
  }

  async #keepConnected(): Promise<void> {
    const { clock, listener, log } = this.#options;
    const { signal } = this.#closing;
    const backoff = new Backoff({ ...RESTART, clock });
    while (!signal.aborted) {
      try {
        await this.#connectOnce();
        if (!signal.aborted) log.warn({}, "the connection to libvirtd ended; the guest is not affected");
      } catch (error) {
        if (signal.aborted) return;
        if (!this.#wasReady) {
          listener.onFailed(error);
          return;
        }
        log.error({ err: error }, "cannot connect to libvirtd again; the guest is not affected");
      }
      if (!signal.aborted) await backoff.wait(signal).catch(() => {});
    }
  }

  /** Connects, starting libvirtd where it doesn't run, and returns when the connection has ended. */
  async #connectOnce(): Promise<void> {
    const { connect, listener } = this.#options;
    await this.#ensureDaemon();
    const connection = await connect();
    try {
      if (this.#closing.signal.aborted) return;
      await connection.listen((fact) => listener.onFact(fact));
      const state = this.#wasReady ? await connection.readState() : undefined;
      this.#connection = connection;
      if (state === undefined) {
        this.#wasReady = true;
        listener.onReady();
      } else {
        listener.onFact(state);
        listener.onReconnected();
      }
      await connection.closed;
    } finally {
      this.#connection = undefined;
      connection.close();
    }
  }

  async #ensureDaemon(): Promise<void> {
    if (this.#daemon !== undefined) return;
    const daemon = await this.#options.startDaemon();
    this.#daemon = daemon;
    void daemon.exited.then(() => {
      if (this.#daemon === daemon) this.#daemon = undefined;
    });
    if (this.#closing.signal.aborted) daemon.stop();
  }

  /** @throws LauncherError LibvirtUnavailable; libvirt's own errors */
  async #call<T>(perform: (connection: DomainConnection) => Promise<T>): Promise<T> {
    if (this.#connection === undefined) throw unavailable();
    return perform(this.#connection);
  }
}

function unavailable(): LauncherError {
  return new LauncherError("LibvirtUnavailable", "libvirtd is away and is being started again");
}
