/** What both ends of a connection share: settings, liveness, and waiting for the end. */
import type { Http2Session, SessionOptions } from "node:http2";
import type { Duplex } from "node:stream";
import { TransportError } from "./errors.ts";

/** Limits of one session; a peer that needs more is broken or hostile. */
export const SESSION_OPTIONS: SessionOptions = {
  maxSessionMemory: 16,
  settings: { initialWindowSize: 256 * 1024, maxConcurrentStreams: 256, enablePush: false },
};

/**
 * What a peer may send on a connection before it hears from this side, however few its streams. With the protocol's own
 * 64 KiB (RFC 9113, section 6.9.2) it stops after every fourth frame, and a stream costs nearly twice the CPU.
 */
const CONNECTION_WINDOW_BYTES = 1024 * 1024;

export function widenWindow(session: Http2Session): void {
  session.once("connect", () => {
    // It is told of a tick later, and may have been destroyed in between.
    if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  });
}

/** Says why the side that accepted a stream of bytes has ended it. */
export const END_REASON_TRAILER = "virtpod-end";

export interface KeepAliveOptions {
  /** A ping is sent after each interval, in milliseconds. */
  readonly intervalMs: number;
  /** The session is destroyed when a ping stays unanswered for so long, in milliseconds. */
  readonly deadlineMs: number;
}

/** A process that stood still for the whole deadline has one of them behind it, and reads before the next. */
const CHECKS = 5;

/** Notices a half-open connection: TCP alone tells of a vanished peer only after many minutes. */
export function keepAlive(
  session: Http2Session,
  socket: Duplex,
  { intervalMs, deadlineMs }: KeepAliveOptions,
): void {
  let overdue: NodeJS.Timeout | undefined;
  const interval = setInterval(() => {
    if (overdue !== undefined) return;
    let checks = 0;
    overdue = setInterval(() => {
      checks += 1;
      if (checks < CHECKS) return;
      const error = new TransportError("ConnectionClosed", `the peer answered no ping for ${deadlineMs} ms`);
      destroySession(session, socket, error);
    }, deadlineMs / CHECKS);
    // A session that has closed has half-closed its socket, and would wait for ever for a peer that has vanished.
    if (session.destroyed) return;
    // It fails only with a session that ends anyway.
    session.ping((error) => {
      if (error !== null) return;
      clearInterval(overdue);
      overdue = undefined;
    });
  }, intervalMs);
  interval.unref();
  session.once("close", () => {
    clearInterval(interval);
    clearInterval(overdue);
  });
}

/** At once. A session that was closing would only half-close its socket, and wait for the peer to do the same. */
export function destroySession(session: Http2Session, socket: Duplex, error?: Error): void {
  session.destroy(error);
  socket.destroy();
}

/** Resolves when the session is over, however it ended; `cause` tells why where it was an error. */
export function sessionEnd(session: Http2Session): Promise<{ readonly cause?: Error }> {
  return new Promise((resolve) => {
    let cause: Error | undefined;
    session.on("error", (error: Error) => {
      cause ??= error;
    });
    session.once("close", () => resolve(cause === undefined ? {} : { cause }));
  });
}
