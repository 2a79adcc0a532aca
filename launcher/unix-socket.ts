/** Connecting to unix sockets: the agent's, and those that qemu serves. */
import { once } from "node:events";
import { type FSWatcher, watch } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import { Backoff } from "../lib/backoff.ts";
import { sleep } from "../lib/clock.ts";

/** Between two tries while the server's queue of callers is full, in milliseconds, and how many there are. */
const QUEUE_RETRY_MS = 5;
const QUEUE_RETRIES = 200;

/**
 * Where the server has more callers waiting than it listens for, connect(2) fails at once on a socket that doesn't
 * block. That is no absence: it is tried again, for a second and without growing patience, or whoever floods the server
 * would be the only one in.
 * @throws the connection's error
 */
export async function connectSocket(path: string): Promise<Socket> {
  for (let tries = 1; ; tries++) {
    const socket = connect(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || tries > QUEUE_RETRIES) throw error;
    }
    await sleep(QUEUE_RETRY_MS);
  }
}

/**
 * Connects as soon as the socket is served: libvirt makes it before it starts qemu, and qemu drops what the guest
 * says while nobody is connected. The socket's directory must exist.
 * @throws the signal's reason when it aborts first
 */
export async function connectWhenServed(path: string, signal: AbortSignal): Promise<Socket> {
  let changed = Promise.withResolvers<void>();
  using _watcher = watchDirectory(dirname(path), () => changed.resolve());
  // No event tells of listen(2) after bind(2), nor of anything where inotify instances have run out.
  const backoff = new Backoff({ initialMs: 5, maxMs: 250 });
  const aborted = Promise.withResolvers<void>();
  const abort = () => aborted.resolve();
  signal.addEventListener("abort", abort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      // Renewed before each try, so that no change between the try and the wait is missed.
      changed = Promise.withResolvers<void>();
      const socket = await connectSocket(path).catch(() => undefined);
      if (socket !== undefined) return socket;
      const waited = new AbortController();
      await Promise.race([changed.promise, aborted.promise, backoff.wait(waited.signal).catch(() => {})]);
      waited.abort();
    }
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function watchDirectory(path: string, onChange: () => void): Disposable {
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(path, onChange);
    watcher.on("error", () => {});
  } catch {
    // The back-off alone finds the socket then.
  }
  return { [Symbol.dispose]: () => watcher?.close() };
}
