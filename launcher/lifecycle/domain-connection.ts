/** The one domain over one connection to libvirtd. */
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import { type LibvirtConnection, STATS } from "../libvirt/calls.ts";
import { connectLibvirt } from "../libvirt/driver.ts";
import { LibvirtError } from "../libvirt/errors.ts";
import { type DomainRef, refByUuid } from "../libvirt/structures.ts";
import type { DomainFact } from "./events.ts";
import { factOf, factOfState } from "./facts.ts";
import { START_DEADLINE_MS } from "./machine.ts";
import { domainStatistics } from "./statistics.ts";
import type { DomainConnection } from "./supervisor.ts";

/** @throws LibvirtError */
export async function connectDomain(socketPath: string, uuid: string): Promise<DomainConnection> {
  return new LibvirtDomainConnection(await connectLibvirt(socketPath), uuid);
}

class LibvirtDomainConnection implements DomainConnection {
  readonly #connection: LibvirtConnection;
  readonly #domain: DomainRef;

  #onFact: (fact: DomainFact) => void = () => {};

  constructor(connection: LibvirtConnection, uuid: string) {
    this.#connection = connection;
    this.#domain = refByUuid(uuid);
  }

  get closed(): Promise<unknown> {
    return this.#connection.closed;
  }

  async listen(onFact: (fact: DomainFact) => void): Promise<void> {
    this.#onFact = onFact;
    await this.#connection.subscribe(["lifecycle", "ioError"], (event) => {
      if (event.domain.uuid !== this.#domain.uuid) return;
      const fact = factOf(event);
      if (fact !== undefined) onFact(fact);
    });
  }

  async readState(): Promise<DomainFact> {
    try {
      const { state, reason } = await this.#connection.domainState(this.#domain);
      return factOfState(state, reason);
    } catch (error) {
      if (isCode(error, "DomainNotFound")) return { kind: "gone", how: "unknown" };
      throw error;
    }
  }

  async create(xml: string, options: { readonly paused: boolean }): Promise<void> {
    // Its own deadline is the machine's: a cold probe of qemu takes seconds.
    await this.#connection.createDomain(xml, { ...options, timeoutMs: START_DEADLINE_MS });
  }

  async machineType(): Promise<string | undefined> {
    const xml = await this.#connection.domainXml(this.#domain);
    return /<type\b[^>]*\bmachine=['"]([^'"]+)['"]/.exec(xml)?.[1];
  }

  async destroy(): Promise<void> {
    try {
      await this.#connection.destroyDomain(this.#domain);
    } catch (error) {
      // It has ended by itself meanwhile, and its event tells how.
      if (isCode(error, "DomainStateInvalid")) return;
      if (!isCode(error, "DomainNotFound")) throw error;
      // A libvirtd that was restarted a moment ago ends the domain without an event (seen with 9.0).
      this.#onFact({ kind: "gone", how: "destroyed" });
    }
  }

  async statistics(): Promise<DomainStatistics> {
    const groups = STATS.cpu + STATS.balloon + STATS.vcpu;
    return domainStatistics((await this.#connection.domainStats(this.#domain, groups)) ?? {});
  }

  acpiShutdown = () => this.#connection.shutdownDomain(this.#domain);
  pause = () => this.#connection.suspendDomain(this.#domain);
  resume = () => this.#connection.resumeDomain(this.#domain);
  reset = () => this.#connection.resetDomain(this.#domain);
  softReboot = () => this.#connection.rebootDomain(this.#domain);
  close = () => this.#connection.close();
}

function isCode(error: unknown, code: LibvirtError["code"]): boolean {
  return error instanceof LibvirtError && error.code === code;
}
