/** Connects to a libvirt daemon and opens its driver. */
import { type DomainEventListener, LibvirtConnection } from "./calls.ts";
import { connectRpc } from "./connection.ts";
import { type DomainEventKind, decodeDomainEvent } from "./events.ts";
import { MAX_AUTH_TYPES, PROCEDURE } from "./protocol.ts";
import { readInt } from "./replies.ts";

const SESSION_URI = "qemu:///session";
/** From connect(2) to the opened driver. */
const CONNECT_TIMEOUT_MS = 5_000;

export interface LibvirtConnectionOptions {
  /** `SESSION_URI` unless told. */
  readonly uri?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Longest reply that is taken from the daemon, in bytes; libvirt's own limit unless told. */
  readonly maxMessageBytes?: number;
}

/**
 * Connects and opens the driver.
 * @throws LibvirtError `LibvirtUnavailable`, `LibvirtTimeout`, or libvirt's refusal; the signal's reason when it
 *   aborts first
 */
export async function connectLibvirt(
  socketPath: string,
  options: LibvirtConnectionOptions = {},
): Promise<LibvirtConnection> {
  const { uri = SESSION_URI, timeoutMs = CONNECT_TIMEOUT_MS, signal, maxMessageBytes } = options;
  const listeners = new Map<DomainEventKind, DomainEventListener>();
  const rpc = await connectRpc(socketPath, {
    onEvent: (message) => {
      const event = decodeDomainEvent(message);
      if (event !== undefined) listeners.get(event.kind)?.(event);
    },
    ...(signal !== undefined && { signal }),
    ...(maxMessageBytes !== undefined && { maxMessageBytes }),
  });
  const call = { timeoutMs, ...(signal !== undefined && { signal }) };
  try {
    // Session sockets ask for no authentication; a daemon that does would refuse the next call.
    await rpc.call(PROCEDURE.authList, nothing, (reader) => reader.array(MAX_AUTH_TYPES, readInt), call);
    // Never a second time on one connection: that destroys the driver handle inside the daemon.
    await rpc.call(PROCEDURE.connectOpen, (writer) => writer.optionalString(uri).uint(0), nothing, call);
  } catch (error) {
    rpc.close();
    throw error;
  }
  return new LibvirtConnection(rpc, listeners);
}

function nothing(): void {}
