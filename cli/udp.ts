/** A local UDP port whose senders each have a way of their own into a guest: one datagram, one message. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { isIPv6 } from "node:net";
import type { WebSocket } from "ws";
import { CliError } from "./errors.ts";

/** A sender that has been silent for so long is forgotten, as NAT does it (RFC 4787, 4.3: 2 minutes at least). */
const IDLE_MS = 120_000;
const MAX_SENDERS = 256;
/** Datagrams of one sender that wait for its connection; what comes beyond is lost, as UDP may lose it. */
const MAX_WAITING = 64;
const MAX_BUFFERED_BYTES = 1024 * 1024;

export interface UdpOptions {
  readonly address: string;
  /** 0 for any. */
  readonly port: number;
  readonly open: () => Promise<WebSocket>;
  readonly complain: (error: unknown) => void;
}

interface Sender {
  websocket?: WebSocket;
  readonly waiting: Buffer[];
  readonly idle: NodeJS.Timeout;
}

/** @throws Error when the port can't be opened */
export async function listenUdp({
  address,
  port,
  open,
  complain,
}: UdpOptions): Promise<{ readonly port: number; readonly close: () => void }> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  const senders = new Map<string, Sender>();

  const forget = (key: string) => {
    const sender = senders.get(key);
    if (sender === undefined) return;
    senders.delete(key);
    clearTimeout(sender.idle);
    sender.websocket?.close();
  };

  const connect = async (key: string, sender: Sender, { address: to, port: at }: RemoteInfo) => {
    try {
      const websocket = await open();
      if (!senders.has(key)) return websocket.terminate();
      sender.websocket = websocket;
      websocket.on("message", (data: Buffer) => {
        sender.idle.refresh();
        socket.send(data, at, to);
      });
      websocket.once("close", () => forget(key));
      websocket.resume();
      for (const datagram of sender.waiting.splice(0)) websocket.send(datagram);
    } catch (error) {
      forget(key);
      complain(error);
    }
  };

  socket.on("message", (datagram, from) => {
    const key = `${from.address} ${from.port}`;
    let sender = senders.get(key);
    if (sender === undefined) {
      if (senders.size >= MAX_SENDERS)
        return complain(
          new CliError(`more than ${MAX_SENDERS} senders: dropped a datagram of ${from.address}`),
        );
      sender = { waiting: [], idle: setTimeout(() => forget(key), IDLE_MS) };
      senders.set(key, sender);
      void connect(key, sender, from);
    }
    sender.idle.refresh();
    const { waiting, websocket } = sender;
    if (websocket === undefined) {
      if (waiting.length < MAX_WAITING) waiting.push(datagram);
    } else if (websocket.bufferedAmount < MAX_BUFFERED_BYTES) websocket.send(datagram);
  });

  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, () => {
      socket.off("error", reject);
      socket.on("error", complain);
      resolve();
    });
  });
  return {
    port: socket.address().port,
    close: () => {
      for (const key of [...senders.keys()]) forget(key);
      socket.close();
    },
  };
}
