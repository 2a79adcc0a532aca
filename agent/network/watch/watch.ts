/**
 * What the agent does in a wired pod's network while its launcher is connected: it announces the guest's addresses, and
 * hears what the guard refuses. Both by sockets of the pod's namespace; the wiring doesn't wait for them.
 */
import { once } from "node:events";
import { getSystemErrorName } from "node:util";
import type { Logger } from "pino";
import type { InterfaceAttachment } from "../../../api/pod-interface.ts";
import { errno } from "../../errors.ts";
import { namesFor } from "../link-names.ts";
import { type Namespace, openNamespace } from "../namespace.ts";
import { REFUSED_GROUP } from "../ruleset.ts";
import type { Presence } from "./announcement.ts";
import { announce } from "./announcer.ts";
import { bindRequest, parseNflog } from "./nflog.ts";
import { describeRefused } from "./refused-frame.ts";
import { advertise } from "./router.ts";
import { type DatagramSocket, openFrameSocket, openNetfilterSocket } from "./sockets.ts";

/** What a pod's interface without Ethernet has. */
const NO_MAC = "00:00:00:00:00:00";

export interface WatchOptions {
  /** Path of the pod's network namespace. Opened once, at the start. */
  readonly netns: string;
  /** Path of the node's network namespace, which is never touched. */
  readonly hostNetns: string;
  readonly podUid: string;
  readonly attachments: readonly InterfaceAttachment[];
  readonly log: Logger;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Resolves once the signal has aborted and nothing is held any more. It never rejects: what fails is logged. */
export async function watchNetwork(options: WatchOptions): Promise<void> {
  const { netns, hostNetns, podUid, attachments, log, signal } = options;
  if (signal.aborted || attachments.length === 0) return;
  const sockets = new DisposableStack();
  try {
    await using namespace = await openNamespace(netns, hostNetns, podUid);
    const told = sockets.use(openNetfilterSocket(namespace));
    hearRefused(told, attachments, log);
    for (const attachment of attachments) {
      void announceOne(namespace, attachment, log, signal);
      void routeOne(namespace, attachment, log, signal);
    }
  } catch (error) {
    if (!signal.aborted) log.warn({ code: errno(error), err: error }, "can't watch the pod's network");
  }
  if (!signal.aborted) await once(signal, "abort");
  sockets.dispose();
}

/** Up to its first wait it needs the namespace, and then only its socket. */
async function announceOne(
  namespace: Namespace,
  attachment: InterfaceAttachment,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const presence = presenceOf(attachment);
  if (presence.macAddress === NO_MAC || presence.addresses.length === 0) return;
  const startMs = performance.now();
  const facts = { interface: attachment.name };
  try {
    using socket = openFrameSocket(namespace, uplinkOf(attachment));
    const answered = await announce(socket, presence, { signal });
    const durationMs = Math.round(performance.now() - startMs);
    log.debug({ ...facts, answered, durationMs }, "announced the guest's addresses on the pod network");
  } catch (error) {
    if (!signal.aborted) log.warn({ ...facts, err: error }, "can't announce the guest's addresses");
  }
}

/** Up to its first wait it needs the namespace, and then only its socket. */
async function routeOne(
  namespace: Namespace,
  { name, bridge, guest, podInterface }: InterfaceAttachment,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (guest.subnet6 === undefined) return;
  const router = { macAddress: bridge.macAddress, address: guest.subnet6.gateway, mtu: podInterface.mtu };
  try {
    using socket = openFrameSocket(namespace, bridge.name, "router-solicitation");
    await advertise(socket, router, { signal });
  } catch (error) {
    if (!signal.aborted) log.warn({ interface: name, err: error }, "can't advertise the guest's router");
  }
}

/** Of the pod network's side: a guest with a subnet of its own is reached at the pod's address and MAC. */
export function presenceOf({ guest, podInterface }: InterfaceAttachment): Presence {
  const { addresses, routes, macAddress } = podInterface;
  const ownSubnet = guest.subnet !== undefined;
  return {
    macAddress: ownSubnet ? macAddress : guest.macAddress,
    addresses: addresses.map((cidr) => cidr.split("/", 1).join()),
    gateways: [...new Set(routes.flatMap(({ gateway }) => (gateway?.includes(".") ? [gateway] : [])))],
  };
}

function uplinkOf({ guest, podInterface }: InterfaceAttachment): string {
  return guest.subnet === undefined ? namesFor(podInterface.name).uplink : podInterface.name;
}

function hearRefused(socket: DatagramSocket, attachments: readonly InterfaceAttachment[], log: Logger): void {
  const names = new Map(attachments.map(({ name, tap }) => [tap.name, name]));
  socket.onDatagram((datagram) => {
    for (const message of parseNflog(datagram)) {
      if (message.type === "answer") {
        if (message.errno === 0) continue;
        const code = getSystemErrorName(-message.errno);
        log.warn({ code }, "the kernel doesn't tell of the frames that the guard refuses; its counters do");
        continue;
      }
      const frame = describeRefused(message.packet);
      if (frame === undefined) continue;
      log.warn({ interface: names.get(frame.link), ...frame }, "the guard refused a frame of the guest's");
    }
  });
  socket.send(bindRequest(REFUSED_GROUP));
}
