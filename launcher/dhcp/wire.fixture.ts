/** Sockets of a network that loses nothing and is there at once, for tests. */
import { EventEmitter } from "node:events";
import type { DatagramSocket } from "./types.ts";

export interface Sent {
  readonly bytes: Uint8Array;
  readonly destination: string;
}

/** Sockets of a network that loses nothing. */
export class Wire {
  readonly sent: Sent[] = [];
  /** Whether the kernel takes what is sent. */
  isOpen = true;
  readonly #sockets: EventEmitter[] = [];

  readonly createSocket = (): DatagramSocket => {
    const emitter = new EventEmitter();
    const { sent } = this;
    const socket = Object.assign(emitter, {
      bind: (_: object, bound: () => void) => bound(),
      close: (closed: () => void) => closed(),
      setBroadcast: () => {},
      send: (bytes: Uint8Array, port: number, host: string, done: (error: null) => void) => {
        sent.push({ bytes, destination: `${host}:${port}` });
        if (this.isOpen) done(null);
      },
    });
    this.#sockets.push(emitter);
    return socket as unknown as DatagramSocket;
  };

  /** @param socket 0: what hears broadcasts; 1: the bridge's own */
  deliver(socket: number, bytes: Uint8Array): void {
    this.#sockets[socket]?.emit("message", bytes);
  }
}
