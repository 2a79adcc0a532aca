/** Events of domains: how to ask for them and what their messages say. */
import type { Message } from "./framing.ts";
import { EVENT } from "./protocol.ts";
import { type DomainRef, readDomain } from "./structures.ts";
import { XdrReader } from "./xdr.ts";

export type DomainEvent = {
  readonly domain: DomainRef;
} /** virDomainEventType and its detail, by number. */ & (
  | { readonly kind: "lifecycle"; readonly event: number; readonly detail: number }
  /** The guest rebooted or was reset; libvirt tells it once per RESET of qemu, so twice for one reset call. */
  | { readonly kind: "reboot" }
  | { readonly kind: "watchdog"; readonly action: number }
  | {
      readonly kind: "ioError";
      /** The disk's alias, `ua-<name>`. */
      readonly alias: string;
      readonly path: string;
      readonly action: "none" | "paused" | "reported" | "unknown";
      /** `enospc`, or empty. */
      readonly reason: string;
    }
  /** libvirtd lost qemu's monitor: the domain may run on, but can't be commanded. */
  | { readonly kind: "controlError" }
  | { readonly kind: "agentLifecycle"; readonly connected: boolean }
);

export type DomainEventKind = DomainEvent["kind"];

/** virDomainEventID of each kind. */
export const EVENT_IDS: Readonly<Record<DomainEventKind, number>> = {
  lifecycle: EVENT.lifecycle.id,
  reboot: EVENT.reboot.id,
  watchdog: EVENT.watchdog.id,
  ioError: EVENT.ioErrorReason.id,
  controlError: EVENT.controlError.id,
  agentLifecycle: EVENT.agentLifecycle.id,
};

const IO_ERROR_ACTIONS = ["none", "paused", "reported"] as const;

/**
 * @returns undefined for a message of a kind that isn't known here
 * @throws XdrError a layout that isn't known here
 */
export function decodeDomainEvent(message: Message): DomainEvent | undefined {
  const reader = new XdrReader(message.payload);
  const read = READERS.get(message.procedure);
  if (read === undefined) return undefined;
  reader.int(); // callback id: one connection registers each event once
  const event = read(readDomain(reader), reader);
  reader.end();
  return event;
}

type EventReader = (domain: DomainRef, reader: XdrReader) => DomainEvent;

const READERS: ReadonlyMap<number, EventReader> = new Map<number, EventReader>([
  [
    EVENT.lifecycle.message,
    (domain, reader) => ({ kind: "lifecycle", domain, event: reader.int(), detail: reader.int() }),
  ],
  [EVENT.reboot.message, (domain) => ({ kind: "reboot", domain })],
  [EVENT.watchdog.message, (domain, reader) => ({ kind: "watchdog", domain, action: reader.int() })],
  [
    EVENT.ioErrorReason.message,
    (domain, reader) => {
      const path = reader.string();
      const alias = reader.string();
      const action = IO_ERROR_ACTIONS[reader.int()] ?? "unknown";
      return { kind: "ioError", domain, path, alias, action, reason: reader.string() };
    },
  ],
  [EVENT.controlError.message, (domain) => ({ kind: "controlError", domain })],
  [
    EVENT.agentLifecycle.message,
    (domain, reader) => {
      const connected = reader.int() === 1;
      reader.int(); // reason: domain started or channel
      return { kind: "agentLifecycle", domain, connected };
    },
  ],
]);
