/** The guest's network as the launcher knows it: what the agent attached, and the DHCP server that serves it. */
import { isDeepStrictEqual } from "node:util";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import type { Attachment, LauncherInterfaceStatus } from "../../api/launcher-protocol.ts";
import type { DhcpState } from "../../api/network-path.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { parseIpv4Cidr } from "../../lib/cidr.ts";
import type { Clock } from "../../lib/clock.ts";
import { RequestError } from "../../transport/errors.ts";
import type { DhcpServer, Lease } from "../dhcp/types.ts";
import { describeError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { GuestPort, LoopbackPorts } from "../loopback/ports.ts";
import { leaseState } from "./lease-state.ts";

/** Between warnings of an interface's declined address: each message of its guest's makes one, and the rest are counted. */
const DECLINED_EVERY_MS = 60_000;

/** What is asked of a server, once it runs. */
export type GuestServer = Pick<DhcpServer, "counters"> & { close(): unknown };

export interface GuestNetworkOptions {
  readonly spec: Pick<LaunchSpec, "interfaces">;
  readonly log: Log;
  readonly clock: Pick<Clock, "now" | "monotonic">;
  readonly leaseFor: (attachment: InterfaceAttachment) => Lease;
  readonly startDhcpServer: (leases: readonly Lease[]) => Promise<DhcpServer>;
  /** Undefined for a guest that has no IPv6 subnet of its own. */
  readonly startDhcp6Server: (attachment: InterfaceAttachment) => Promise<GuestServer> | undefined;
  readonly loopbackPorts: Pick<LoopbackPorts, "listen" | "close">;
  readonly onReady: () => void;
  readonly onFailed: (code: string, message: string) => void;
  /** `interfaces` has changed. */
  readonly onChange: () => void;
}

export class GuestNetwork {
  readonly #options: GuestNetworkOptions;
  #attachment: Attachment | undefined;
  #interfaces: readonly LauncherInterfaceStatus[] = [];
  #server: DhcpServer | undefined;
  #servers6: readonly GuestServer[] = [];
  #leases: readonly Lease[] = [];
  /** When each interface's lease was last acknowledged, since the epoch. */
  readonly #acknowledgedMs = new Map<string, number>();
  /** When it was last told, by the monotonic clock, that each interface's address was declined. */
  readonly #declinedMs = new Map<string, number>();

  constructor(options: GuestNetworkOptions) {
    this.#options = options;
  }

  get isAttached(): boolean {
    return this.#attachment !== undefined;
  }

  /** In the order of the spec; empty until the agent has attached. */
  get attachments(): readonly InterfaceAttachment[] {
    return this.#attachment?.ok ? this.#attachment.interfaces : [];
  }

  get interfaces(): readonly LauncherInterfaceStatus[] {
    return this.#interfaces;
  }

  /**
   * The agent says it on each of its connections; only the first time does something.
   * @throws RequestError 409 AttachmentChanged: the network of a domain doesn't change under it
   */
  attach(attachment: Attachment): void {
    if (this.#attachment !== undefined) {
      if (isDeepStrictEqual(this.#attachment, attachment)) return;
      this.#options.log.warn({ attachment }, "the agent tells of another attachment than before");
      throw new RequestError(409, "AttachmentChanged", "the network was attached before, and otherwise");
    }
    this.#attachment = attachment;
    if (!attachment.ok) {
      this.#options.onFailed(attachment.code, attachment.message);
      return;
    }
    this.#serve(attachment.interfaces).then(this.#options.onReady, (error: unknown) => {
      const { code, message } = describeError(error);
      this.#options.onFailed(code, message);
    });
  }

  /** What the guest is told on each interface, and what became of its messages. */
  dhcp(): DhcpState {
    const leases = this.#leases.map((lease) => [
      lease.name,
      leaseState(lease, this.#acknowledgedMs.get(lease.name)),
    ]);
    return {
      leases: Object.fromEntries(leases),
      counters: { ...this.#server?.counters(), ...this.#counters6() },
    };
  }

  /** DHCPv6's are told apart by their names. */
  #counters6(): Readonly<Record<string, number>> {
    const counted = this.#servers6.flatMap((server) => Object.entries(server.counters()));
    return Object.fromEntries(counted.map(([what, count]) => [`dhcp6-${what}`, count]));
  }

  /** No wait: the sockets go with the process. */
  close(): void {
    void this.#server?.close();
    for (const server of this.#servers6) server.close();
    this.#options.loopbackPorts.close();
  }

  async #serve(attached: readonly InterfaceAttachment[]): Promise<void> {
    const { spec, leaseFor, log, onChange, startDhcpServer, startDhcp6Server } = this.#options;
    const attachments = spec.interfaces.map(({ name }) => requireAttachment(attached, name));
    const leases = attachments.filter(({ bridge }) => bridge.address !== undefined).map(leaseFor);
    this.#interfaces = attachments.map(
      (attachment): LauncherInterfaceStatus => ({
        name: attachment.name,
        macAddress: attachment.guest.macAddress,
        podInterfaceName: attachment.podInterface.name,
        ipAddresses: reachedAt(attachment, leases),
        ...withheld(attachment),
        queueCount: attachment.tap.queues,
        leased: false,
      }),
    );
    onChange();
    if (leases.length === 0) return;
    this.#servers6 = await Promise.all(
      attachments.flatMap((attachment) => startDhcp6Server(attachment) ?? []),
    );
    this.#server = await startDhcpServer(leases);
    this.#leases = leases;
    await this.#options.loopbackPorts.listen(guestPorts(spec, leases));
    this.#server.on("leased", ({ interfaceName }) => this.#leased(interfaceName));
    this.#server.on("declined", ({ address, interfaceName }) => this.#declined(interfaceName, address));
    this.#server.on("omitted", ({ options, interfaceName }) => {
      log.warn(
        { interface: interfaceName, options },
        "DHCP options that the guest's messages have no room for",
      );
    });
  }

  #declined(name: string, address: string): void {
    const { clock, log } = this.#options;
    const nowMs = clock.monotonic();
    const toldMs = this.#declinedMs.get(name);
    if (toldMs !== undefined && nowMs - toldMs < DECLINED_EVERY_MS) return;
    this.#declinedMs.set(name, nowMs);
    log.warn({ interface: name, address }, "the guest declined its address: someone else uses it");
  }

  #leased(name: string): void {
    this.#acknowledgedMs.set(name, this.#options.clock.now());
    // A renewal changes nothing that anybody is told.
    if (this.#interfaces.some((known) => known.name === name && known.leased)) return;
    this.#interfaces = this.#interfaces.map((known) =>
      known.name === name ? { ...known, leased: true } : known,
    );
    this.#options.onChange();
  }
}

/** Under which addresses others reach the guest: behind masquerade the pod's, which the guest itself does not have. */
function reachedAt(
  { name, guest, podInterface }: InterfaceAttachment,
  leases: readonly Lease[],
): readonly string[] {
  if (guest.subnet === undefined) {
    return leases.filter((lease) => lease.name === name).map(({ address }) => address);
  }
  return podInterface.addresses
    .filter((cidr) => parseIpv4Cidr(cidr) !== undefined || guest.subnet6 !== undefined)
    .map(withoutPrefixLength);
}

function guestPorts({ interfaces }: Pick<LaunchSpec, "interfaces">, leases: readonly Lease[]): GuestPort[] {
  return leases.flatMap(({ name, address, serverAddress }) => {
    const ports = interfaces.find((one) => one.name === name)?.loopbackPorts ?? [];
    return ports.map((port) => ({ port, guestAddress: address, ownAddress: serverAddress }));
  });
}

function withoutPrefixLength(cidr: string): string {
  return cidr.split("/", 1).join();
}

/**
 * On a bridge, DHCP hands over IPv4; an IPv6 address follows from the routers' advertisements or is not handed over.
 * Behind masquerade the guest stands behind all of the pod's addresses, of IPv6 as well where it has a subnet of it.
 */
function withheld({
  guest,
  podInterface,
}: InterfaceAttachment): Pick<LauncherInterfaceStatus, "withheldAddresses"> {
  const { addresses, advertised = [] } = podInterface;
  const passed = guest.subnet === undefined ? advertised : [];
  const reachesGuest = guest.subnet6 === undefined ? passed : addresses;
  const missing = addresses.filter((cidr) => cidr.includes(":") && !reachesGuest.includes(cidr));
  if (missing.length === 0) return {};
  return { withheldAddresses: missing.map(withoutPrefixLength) };
}

function requireAttachment(attached: readonly InterfaceAttachment[], name: string): InterfaceAttachment {
  const attachment = attached.find((candidate) => candidate.name === name);
  if (attachment === undefined) {
    throw new RequestError(409, "AttachmentIncomplete", `the agent attached no interface ${name}`);
  }
  return attachment;
}
