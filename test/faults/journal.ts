/** What a client changed through the proxy, in the order in which the API server answered. */
import { EventEmitter } from "node:events";
import { describeExchange, type Exchange } from "./exchange.ts";

export interface Write {
  /** From 1 on. */
  readonly sequence: number;
  readonly exchange: Exchange;
  /** The API server's. */
  readonly status: number;
  /** Its JSON answer. */
  readonly answer: unknown;
  /** Unix times, in milliseconds: the request went on to the API server, the answer came from it. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

interface JournalEvents {
  /** The API server has answered; the client has not been told yet. */
  done: [write: Write];
  /** The client has been sent the answer. */
  told: [write: Write];
}

export class Journal extends EventEmitter<JournalEvents> {
  /** Of all clients, the lease's included; what the API server refused is among them. */
  readonly writes: Write[] = [];

  add(write: Omit<Write, "sequence">): Write {
    const numbered = { ...write, sequence: this.writes.length + 1 };
    this.writes.push(numbered);
    this.emit("done", numbered);
    return numbered;
  }

  /** Writes after the first `since` to objects of these namespaces and of none, without the lease's. */
  changesSince(since: number, namespaces: readonly string[]): readonly Write[] {
    return this.writes
      .slice(since)
      .filter(({ exchange }) => exchange.resource !== "leases")
      .filter(({ exchange: { namespace } }) => namespace === undefined || namespaces.includes(namespace));
  }
}

/** `update virtualmachines/status default/vm-a → 200`. */
export function describeWrite({ exchange, status }: Write): string {
  return `${describeExchange(exchange)} → ${status}`;
}
