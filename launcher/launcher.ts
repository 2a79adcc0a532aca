/**
 * One launcher: its parts started side by side and wired to the driver. Nothing here decides anything; what happens
 * is dispatched to the driver, and the driver's machine decides.
 */
import { writeFileSync } from "node:fs";
import type { Writable } from "node:stream";
import type { DomainStatistics } from "../api/domain-statistics.ts";
import type { LaunchSpec } from "../api/launch-spec.ts";
import type { DomainEnd, LauncherStatus } from "../api/launcher-protocol.ts";
import type { InterfaceAttachment } from "../api/pod-interface.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { RequestError } from "../transport/errors.ts";
import { AgentLink } from "./agent-link/link.ts";
import { launcherRoutes } from "./agent-link/routes.ts";
import { GuestConsole } from "./console/guest-console.ts";
import { leaseFor } from "./dhcp/lease.ts";
import { startDhcpServer } from "./dhcp/server.ts";
import type { Lease } from "./dhcp/types.ts";
import { lease6For } from "./dhcp6/lease.ts";
import { type Dhcp6Server, startDhcp6Server } from "./dhcp6/server.ts";
import type { ResolvedDisk } from "./domain/resources.ts";
import { describeError } from "./errors.ts";
import type { AgentConnection } from "./guest-agent/connection.ts";
import { GuestAgent } from "./guest-agent/guest-agent.ts";
import { serveProbes } from "./guest-agent/probe-socket.ts";
import { Driver } from "./lifecycle/driver.ts";
import type { DomainFact, PreparationStep, QemuTraces } from "./lifecycle/events.ts";
import type { Hypervisor, HypervisorListener } from "./lifecycle/hypervisor.ts";
import { Latest } from "./lifecycle/latest.ts";
import { GuestNetwork } from "./lifecycle/network.ts";
import { statusOf, terminationMessage } from "./lifecycle/status.ts";
import type { Log } from "./log.ts";
import { LoopbackPorts } from "./loopback/ports.ts";
import type { ServedProcess } from "./served-process.ts";
import { prepareDisks } from "./storage/disks.ts";
import { lookForRoom } from "./storage/room.ts";

/** The agent has so long to give the pod its network: the time of the agent's own restart and more. */
const ATTACHMENT_DEADLINE_MS = 60_000;
/** At the end the agent has so long to take the last status; the pod's termination message tells it too. */
const FAREWELL_DEADLINE_MS = 300;

export interface LauncherPaths {
  readonly agentSocket: string;
  readonly terminationMessage: string;
  readonly serialSocket: string;
  readonly vncSocket: string;
  /** Where probes through the guest agent are answered. */
  readonly probeSocket: string;
}

export interface LauncherOptions {
  readonly spec: LaunchSpec;
  readonly paths: LauncherPaths;
  /** Content of the pod's /etc/resolv.conf. */
  readonly resolvConf: string;
  /** Gets the guest's console. */
  readonly stdout: Writable;
  readonly clock: Clock;
  readonly log: Log;
  readonly createHypervisor: (listener: HypervisorListener) => Hypervisor;
  /** A connection to libvirtd beside the hypervisor's. */
  readonly connectGuestAgent: () => Promise<AgentConnection>;
  readonly domainXml: (resources: DomainResources) => string;
  /** Starts the guest's TPM, where it has one. */
  readonly startTpm?: () => Promise<ServedProcess>;
  /** What a qemu that has just ended left. */
  readonly qemuTraces: () => QemuTraces;
}

/** What a domain is made of besides its spec. */
export interface DomainResources {
  readonly disks: readonly ResolvedDisk[];
  readonly interfaces: readonly InterfaceAttachment[];
}

export class Launcher {
  readonly #options: LauncherOptions;
  readonly #startedAtMs: number;
  /** Unix time of the monotonic clock's origin, taken once: a step's timestamp must not change when a clock is set. */
  readonly #epochMs: number;
  readonly #driver: Driver;
  readonly #hypervisor: Hypervisor;
  readonly #network: GuestNetwork;
  readonly #console: GuestConsole;
  readonly #guestAgent: GuestAgent;
  readonly #link: AgentLink;
  readonly #status: Latest<LauncherStatus>;
  readonly #attached = Promise.withResolvers<void>();
  #attachmentDeadline: Timer | undefined;
  #disks: readonly ResolvedDisk[] = [];
  #tpm: ServedProcess | undefined;
  #isDomainRead = false;
  #machineType: string | undefined;
  #firstLeaseAtMs: number | undefined;

  constructor(options: LauncherOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.monotonic();
    this.#epochMs = options.clock.now() - this.#startedAtMs;
    this.#hypervisor = this.#newHypervisor();
    this.#driver = this.#newDriver();
    this.#network = this.#newNetwork();
    this.#console = this.#newConsole();
    this.#guestAgent = this.#newGuestAgent();
    this.#link = this.#newLink();
    this.#status = new Latest(this.#currentStatus());
  }

  /** Lives the domain's whole life. Resolves when everything that outlives the process is written. */
  async run(): Promise<DomainEnd> {
    const { clock, log, paths } = this.#options;
    this.#hypervisor.run();
    void this.#link.run();
    const probes = serveProbes(paths.probeSocket, (request) => this.#guestAgent.probe(request), log);
    this.#attachmentDeadline = clock.setTimeout(() => this.#attachmentOverdue(), ATTACHMENT_DEADLINE_MS);
    void this.#prepareDisks();
    const end = await this.#driver.ended;
    probes.close();
    await this.#farewell(end);
    return end;
  }

  /** Asks the guest to power off and destroys it after the grace period; 0 destroys it at once. */
  shutdown(gracePeriodMs: number): void {
    this.#driver.dispatch({ type: "shutdownRequested", gracePeriodMs });
  }

  #newHypervisor(): Hypervisor {
    return this.#options.createHypervisor({
      onReady: () => this.#driver.dispatch({ type: "prepared", step: "libvirt" }),
      onFailed: (error) => this.#preparationFailed("libvirt", error),
      onFact: (fact) => this.#driver.dispatch({ type: "domain", fact: this.#withTraces(fact) }),
      onReconnected: () => {
        this.#driver.dispatch({ type: "reconnected" });
        // The create call's answer may have been lost.
        if (this.#driver.state.domainStartedAtMs !== undefined) void this.#readDomain();
      },
    });
  }

  /** libvirt tells no more than that qemu is gone. */
  #withTraces(fact: DomainFact): DomainFact {
    if (fact.kind !== "gone" || (fact.how !== "crashed" && fact.how !== "unknown")) return fact;
    return { ...fact, traces: this.#options.qemuTraces() };
  }

  #newDriver(): Driver {
    const { clock, log, spec } = this.#options;
    return new Driver({
      startPaused: spec.startPaused,
      clock,
      log,
      domain: {
        create: () => this.#createDomain(),
        acpiShutdown: () => this.#hypervisor.acpiShutdown(),
        destroy: () => this.#hypervisor.destroy(),
        pause: () => this.#hypervisor.pause(),
        resume: () => this.#hypervisor.resume(),
        reset: () => this.#hypervisor.reset(),
        softReboot: () => this.#hypervisor.softReboot(),
        lookForRoom: (disk) => lookForRoom(this.#disks, disk),
      },
      onChange: ({ phase, paused }) => {
        this.#guestAgent.guestRuns((phase === "running" || phase === "stopping") && paused === undefined);
        this.#publish();
      },
    });
  }

  #newNetwork(): GuestNetwork {
    const { clock, log, spec } = this.#options;
    return new GuestNetwork({
      spec,
      log,
      clock,
      leaseFor: (attachment) => this.#leaseFor(attachment),
      startDhcpServer: (leases) => startDhcpServer({ leases }),
      startDhcp6Server: (attachment) => this.#startDhcp6Server(attachment),
      loopbackPorts: new LoopbackPorts({ clock, log }),
      onReady: () => this.#driver.dispatch({ type: "prepared", step: "network" }),
      onFailed: (code, message) =>
        this.#driver.dispatch({ type: "preparationFailed", step: "network", code, message }),
      onChange: () => this.#networkChanged(),
    });
  }

  #newConsole(): GuestConsole {
    const { log, paths, spec, stdout } = this.#options;
    return new GuestConsole({
      serialSocket: spec.domain.serialConsole ? paths.serialSocket : undefined,
      vncSocket: spec.domain.graphics ? paths.vncSocket : undefined,
      stdout,
      log,
    });
  }

  #newGuestAgent(): GuestAgent {
    const { clock, connectGuestAgent, log, spec } = this.#options;
    return new GuestAgent({
      connect: connectGuestAgent,
      macAddresses: () => new Set(this.#network.interfaces.map(({ macAddress }) => macAddress.toLowerCase())),
      accessCredentials: spec.accessCredentials ?? [],
      clock,
      log,
      onChange: () => this.#publish(),
    });
  }

  #newLink(): AgentLink {
    const { clock, log, paths } = this.#options;
    const routes = launcherRoutes({
      attach: (attachment) => {
        this.#attachmentDeadline?.cancel();
        this.#network.attach(attachment);
        // Before it tells of the network, the agent hands over the block devices.
        if (attachment.ok) this.#attached.resolve();
      },
      watchStatus: () => this.#status.watch(),
      shutdown: (gracePeriodMs) => this.shutdown(gracePeriodMs),
      request: (verb) => this.#driver.request(verb),
      guestAgentInfo: () => this.#guestAgent.info(),
      dhcp: () => this.#network.dhcp(),
      statistics: () => this.#statistics(),
      freeze: (unfreezeTimeoutSeconds) => this.#guestAgent.freeze(unfreezeTimeoutSeconds),
      unfreeze: () => this.#guestAgent.unfreeze(),
      console: (accept) => this.#console.attachSerial(accept),
      vnc: (accept, preserveSession) => this.#console.attachVnc(accept, preserveSession),
    });
    return new AgentLink({ socketPath: paths.agentSocket, routes, clock, log });
  }

  /** @throws RequestError */
  async #statistics(): Promise<DomainStatistics> {
    const { phase } = this.#driver.state;
    if (phase !== "running" && phase !== "stopping")
      throw new RequestError(
        409,
        "DomainNotRunning",
        `there is no domain to measure: the launcher is ${phase}`,
      );
    try {
      return await this.#hypervisor.statistics();
    } catch (cause) {
      const { code, message } = describeError(cause);
      throw new RequestError(503, code, `the domain can't be measured: ${message}`, { cause });
    }
  }

  #leaseFor(attachment: InterfaceAttachment): Lease {
    const { resolvConf, spec } = this.#options;
    const { hostname, interfaces, namespace, subdomain } = spec;
    const dhcpOptions = interfaces.find(({ name }) => name === attachment.name)?.dhcpOptions;
    return leaseFor({ attachment, resolvConf, hostname, namespace, subdomain, dhcpOptions });
  }

  #startDhcp6Server(attachment: InterfaceAttachment): Promise<Dhcp6Server> | undefined {
    const lease = lease6For(attachment, this.#options.resolvConf);
    return lease === undefined ? undefined : startDhcp6Server(lease);
  }

  async #prepareDisks(): Promise<void> {
    try {
      this.#disks = await prepareDisks(this.#options.spec, {
        at: new Date(this.#options.clock.now()),
        devicesReady: this.#attached.promise,
      });
      this.#driver.dispatch({ type: "prepared", step: "disks" });
    } catch (error) {
      this.#preparationFailed("disks", error);
    }
  }

  async #createDomain(): Promise<void> {
    const { domainXml, spec, startTpm } = this.#options;
    this.#tpm ??= await startTpm?.();
    const xml = domainXml({ disks: this.#disks, interfaces: this.#network.attachments });
    this.#console.open();
    await this.#hypervisor.create(xml, { paused: spec.startPaused });
    await this.#readDomain();
  }

  /** Once. Never rejects. */
  async #readDomain(): Promise<void> {
    if (this.#isDomainRead) return;
    try {
      this.#machineType = await this.#hypervisor.machineType();
    } catch (error) {
      this.#options.log.warn({ err: error }, "cannot read the domain's machine type");
    }
    this.#isDomainRead = true;
    this.#publish();
  }

  #attachmentOverdue(): void {
    const cause = this.#link.failure;
    const detail = cause === undefined ? "it connected but said nothing of the network" : cause.message;
    this.#driver.dispatch({
      type: "preparationFailed",
      step: "network",
      code: "AgentUnreachable",
      message: `the node's agent attached no network within ${ATTACHMENT_DEADLINE_MS / 1000} s (${detail}); see the agent's log on this node`,
    });
  }

  #preparationFailed(step: PreparationStep, error: unknown): void {
    const { code, message } = describeError(error);
    this.#options.log.error({ err: error, step }, "cannot prepare the domain");
    this.#driver.dispatch({ type: "preparationFailed", step, code, message });
  }

  #networkChanged(): void {
    if (this.#network.interfaces.some(({ leased }) => leased)) {
      this.#firstLeaseAtMs ??= this.#options.clock.monotonic();
      this.#guestAgent.networkChanged();
    }
    this.#publish();
  }

  #publish(): void {
    this.#status.set(this.#currentStatus());
  }

  /** Running is told together with the machine type: each word of its own would cost a write to the API. */
  #currentStatus(): LauncherStatus {
    const status = this.#statusOfDomain();
    if (status.phase !== "running" || this.#isDomainRead) return status;
    const { paused: _, ...rest } = status;
    return { ...rest, phase: "starting" };
  }

  #statusOfDomain(): LauncherStatus {
    return statusOf(this.#driver.state, {
      epochMs: this.#epochMs,
      launcherStartedAtMs: this.#startedAtMs,
      ...(this.#machineType !== undefined && { machineType: this.#machineType }),
      interfaces: this.#network.interfaces,
      ...this.#guestAgent.status,
      ...(this.#firstLeaseAtMs !== undefined && { firstLeaseAtMs: this.#firstLeaseAtMs }),
    });
  }

  async #farewell(end: DomainEnd): Promise<void> {
    const { log, paths } = this.#options;
    log.info({ end }, "the domain has ended");
    try {
      writeFileSync(paths.terminationMessage, terminationMessage(end));
    } catch (error) {
      log.error({ err: error }, `cannot write the termination message to ${paths.terminationMessage}`);
    }
    this.#attachmentDeadline?.cancel();
    this.#status.close();
    this.#console.close();
    this.#guestAgent.close();
    this.#network.close();
    this.#hypervisor.close();
    void this.#tpm?.stop();
    await this.#link.close(FAREWELL_DEADLINE_MS);
  }
}
