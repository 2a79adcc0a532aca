/** Connecting to unix sockets: the agent's, and those that qemu serves. */
import { once } from "node:events";
import { type FSWatcher, watch } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import { Backoff } from "../lib/backoff.ts";

/** @throws the connection's error */
export async function connectSocket(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
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
