/** The launcher's own log: JSON lines on stderr. The container's stdout belongs to the guest's console. */
import { destination, pino } from "pino";

/** Fields first (an error as `err`), then the sentence. */
export type Log = Readonly<Record<"debug" | "info" | "warn" | "error" | "fatal", LogCall>>;

type LogCall = (fields: object, message: string) => void;

/** What may wait for a slow reader of stderr, in bytes; lines beyond are dropped. */
const MAX_BUFFERED_BYTES = 64 * 1024;

export interface LauncherLog {
  readonly log: Log;
  /** Writes what still waits, before the process exits. */
  flush(): void;
}

/** @param bindings fields of every line */
export function createLog(bindings: Readonly<Record<string, string>>): LauncherLog {
  // Asynchronous: a reader of stderr that stops must not stop DHCP, or the answer to SIGTERM.
  const stderr = destination({ dest: 2, sync: false, maxLength: MAX_BUFFERED_BYTES });
  stderr.on("error", () => {});
  const log = pino({ base: bindings, timestamp: () => `,"time":"${new Date().toISOString()}"` }, stderr);
  return {
    log,
    flush: () => {
      try {
        stderr.flushSync();
      } catch {
        // Not open yet, or nobody reads stderr any more: there is no place left to tell it.
      }
    },
  };
}
