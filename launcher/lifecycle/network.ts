/** The guest's network as the launcher knows it: what the agent attached, and the DHCP server that serves it. */
import { isDeepStrictEqual } from "node:util";
import type { LaunchSpec } from "../../api/launch-spec.ts";
import type { Attachment, LauncherInterfaceStatus } from "../../api/launcher-protocol.ts";
import type { InterfaceAttachment } from "../../api/pod-interface.ts";
import { RequestError } from "../../transport/errors.ts";
import type { DhcpServer, Lease } from "../dhcp/types.ts";
import { describeError } from "../errors.ts";
import type { Log } from "../log.ts";

export interface GuestNetworkOptions {
  readonly spec: Pick<LaunchSpec, "interfaces">;
  readonly log: Log;
  readonly leaseFor: (attachment: InterfaceAttachment) => Lease;
  readonly startDhcpServer: (leases: readonly Lease[]) => Promise<DhcpServer>;
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

  /** No wait: the sockets go with the process. */
  close(): void {
    void this.#server?.close();
  }

  async #serve(attached: readonly InterfaceAttachment[]): Promise<void> {
    const { spec, leaseFor, log, onChange, startDhcpServer } = this.#options;
    const attachments = spec.interfaces.map(({ name }) => requireAttachment(attached, name));
    const leases = attachments.map(leaseFor);
    this.#interfaces = attachments.map(
      (attachment, i): LauncherInterfaceStatus => ({
        name: attachment.name,
        macAddress: attachment.guest.macAddress,
        podInterfaceName: attachment.podInterface.name,
        ipAddresses: leases.slice(i, i + 1).map((lease) => lease.address),
        queueCount: attachment.tap.queues,
        leased: false,
      }),
    );
    onChange();
    if (leases.length === 0) return;
    this.#server = await startDhcpServer(leases);
    this.#server.on("leased", ({ interfaceName }) => this.#leased(interfaceName));
    this.#server.on("declined", ({ address, interfaceName }) => {
      log.warn({ interface: interfaceName, address }, "the guest declined its address: someone else uses it");
    });
  }

  #leased(name: string): void {
    // A renewal changes nothing that anybody is told.
    if (this.#interfaces.some((known) => known.name === name && known.leased)) return;
    this.#interfaces = this.#interfaces.map((known) =>
      known.name === name ? { ...known, leased: true } : known,
    );
    this.#options.onChange();
  }
}

function requireAttachment(attached: readonly InterfaceAttachment[], name: string): InterfaceAttachment {
  const attachment = attached.find((candidate) => candidate.name === name);
  if (attachment === undefined) {
    throw new RequestError(409, "AttachmentIncomplete", `the agent attached no interface ${name}`);
  }
  return attachment;
}
