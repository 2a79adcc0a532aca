/** A cancellable wait. */
export interface Timer {
  /** Idempotent; a callback that has not run yet never runs. */
  cancel(): void;
}

/** Time as a dependency, so that every decision about time can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the epoch. For timestamps that others read; may jump. */
  now(): number;
  /** Milliseconds from an arbitrary origin that never go back. For deadlines and durations. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. Delays above 2^31-1 ms (24.8 days) are cut to it. */
  setTimeout(callback: () => void, delayMs: number): Timer;
}

/** Node turns a longer delay into 1 ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout(callback, delayMs) {
    const handle = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMEOUT_MS));
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Resolves after `delayMs`.
 * @throws the signal's reason when `signal` aborts first
 */
export function sleep(delayMs: number, options: { clock?: Clock; signal?: AbortSignal } = {}): Promise<void> {
  const { clock = systemClock, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
