/** Joins a stream of a virtual machine's with something here that is read and written. */
import type { Readable, Writable } from "node:stream";
import { createWebSocketStream, type WebSocket } from "ws";

/**
 * A websocket can't say "I send no more, but go on": so after the end of what is sent, an answer is still waited for
 * while it comes in pieces no further apart than this.
 */
const LAST_WORD_MS = 5_000;

export interface StreamEnd {
  /** Of the websocket; 1006 when the connection broke. */
  readonly code: number;
  readonly reason: string;
}

/** Each side is read only as fast as the other takes it. Resolves when the websocket is closed and all is written. */
export async function joinStream(websocket: WebSocket, from: Readable, to: Writable): Promise<StreamEnd> {
  const closed = new Promise<StreamEnd>((resolve) => {
    websocket.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  const stream = createWebSocketStream(websocket);
  const leave = () => websocket.close();
  let lastWord: NodeJS.Timeout | undefined;
  const awaitLastWord = () => {
    lastWord = setTimeout(leave, LAST_WORD_MS);
    stream.on("data", () => lastWord?.refresh());
  };
  // Whatever breaks, both sides close; the websocket's code says why.
  stream.on("error", leave);
  from.on("error", leave).once("end", awaitLastWord);
  to.on("error", leave).once("close", leave);
  from.pipe(stream, { end: false });
  stream.pipe(to, { end: false });
  if (from.destroyed || to.destroyed) leave();
  const end = await closed;
  clearTimeout(lastWord);
  from.unpipe(stream);
  if (!stream.readableEnded && !stream.destroyed && !to.destroyed)
    await new Promise<void>((resolve) => {
      stream.once("close", resolve).once("end", resolve);
      to.once("close", resolve);
    });
  return end;
}
