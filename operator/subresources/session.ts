/**
 * A websocket joined to what it was opened for: a stream of bytes, or a socket of datagrams. The subprotocol is
 * KubeVirt's: the messages' bytes are the stream's; of datagrams, each message is one.
 */
import type { Socket } from "node:dgram";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { streamEnded } from "../../transport/heap.ts";

export interface Closing {
  /** RFC 6455, section 7.4; from 4000 on our own. */
  readonly code: number;
  /** A sentence; what exceeds 123 bytes is cut off (section 5.5). */
  readonly reason: string;
}

export interface ByteSession {
  readonly kind: "bytes";
  readonly stream: Duplex;
  /** Why the stream ended, asked once it has; an ordinary end unless told. */
  readonly ending?: () => Closing | undefined;
  /** What it means that the stream broke off; that it was lost unless told. */
  readonly broken?: Closing;
}

export interface DatagramSession {
  readonly kind: "datagrams";
  /** Connected. */
  readonly socket: Socket;
  /** Told to a client when the socket fails. */
  readonly broken: (error: Error) => Closing;
}

export type Session = ByteSession | DatagramSession;

/** Beside the standard ones: the console is somebody else's, and a client must not take it back by itself. */
export const CLOSE_DISPLACED = 4001;
/** Standard ones (RFC 6455, section 7.4.1, and IANA's registry). */
export const CLOSE_NORMAL = 1000;
export const CLOSE_TOO_BIG = 1009;
export const CLOSE_INTERNAL_ERROR = 1011;
export const CLOSE_SERVICE_RESTART = 1012;

const ENDED: Closing = { code: CLOSE_NORMAL, reason: "" };
export const LOST: Closing = {
  code: CLOSE_SERVICE_RESTART,
  reason: "the connection to the guest's node was lost: connect again",
};

/** Bytes that may wait for a slow client before its source is read no further, and how few let it go on. */
const HIGH_WATER_BYTES = 256 * 1024;
const LOW_WATER_BYTES = 64 * 1024;
/** Keeps what forwards TCP between here and the client from taking a silent console for an abandoned one. */
const PING_INTERVAL_MS = 30_000;
/** What the client sent last still gets through. */
const LAST_BYTES_MS = 500;
const MAX_REASON_BYTES = 123;

/** Each side is read only as fast as the other takes it, and ends with the other. */
export function join(websocket: WebSocket, session: Session): void {
  // A breach of the protocol closes the websocket with its code; the close is what matters here.
  websocket.on("error", () => {});
  const ping = setInterval(() => websocket.ping(), PING_INTERVAL_MS);
  websocket.once("close", () => {
    clearInterval(ping);
    streamEnded();
  });
  if (session.kind === "bytes") joinBytes(websocket, session);
  else joinDatagrams(websocket, session);
}

export function close(websocket: WebSocket, { code, reason }: Closing): void {
  let text = reason;
  while (Buffer.byteLength(text) > MAX_REASON_BYTES) text = text.slice(0, -1);
  websocket.close(code, text);
}

function joinBytes(websocket: WebSocket, { stream, ending, broken = LOST }: ByteSession): void {
  stream.on("data", (chunk: Buffer) => {
    if (websocket.readyState !== WebSocket.OPEN) {
      stream.pause();
      return;
    }
    websocket.send(chunk, { binary: true }, () => {
      if (websocket.bufferedAmount <= LOW_WATER_BYTES) stream.resume();
    });
    if (websocket.bufferedAmount > HIGH_WATER_BYTES) stream.pause();
  });
  // An HTTP/2 stream's trailers, which say why it ended, come a moment after its end.
  stream.once("end", () => setImmediate(() => close(websocket, ending?.() ?? ENDED)));
  stream.once("close", () => setImmediate(() => close(websocket, broken)));
  stream.on("error", () => {});

  websocket.on("message", (data: Buffer) => {
    if (stream.writable && !stream.write(data)) websocket.pause();
  });
  stream.on("drain", () => websocket.resume());
  // A guest that is silent would keep its console taken for ever.
  websocket.once("close", () => {
    stream.pause();
    stream.end();
    const timer = setTimeout(() => stream.destroy(), LAST_BYTES_MS);
    stream.once("close", () => clearTimeout(timer));
  });
}

/** What finds no room is lost, as datagrams are. */
function joinDatagrams(websocket: WebSocket, { socket, broken }: DatagramSession): void {
  socket.on("message", (datagram) => {
    if (websocket.readyState !== WebSocket.OPEN || websocket.bufferedAmount > HIGH_WATER_BYTES) return;
    websocket.send(datagram, { binary: true });
  });
  socket.on("error", (error) => close(websocket, broken(error)));
  websocket.on("message", (data: Buffer) => {
    if (socket.getSendQueueSize() > HIGH_WATER_BYTES) return;
    socket.send(data, (error) => {
      if (error !== null) close(websocket, broken(error));
    });
  });
  websocket.once("close", () => socket.close());
}
