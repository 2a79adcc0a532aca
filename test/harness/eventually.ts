/** For what tells nobody that it has come to be: it is tried again, each time after a longer pause. */
import { retry } from "../../lib/backoff.ts";

const PAUSES = { initialMs: 50, maxMs: 1_000 };

/**
 * Runs `attempt` until it succeeds.
 * @throws what the last attempt threw, when one has failed after the time
 */
export function eventually<T>(attempt: () => Promise<T>, timeoutMs: number): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  return retry(attempt, {
    ...PAUSES,
    attempts: Number.POSITIVE_INFINITY,
    isRetriable: () => performance.now() < deadline,
  });
}
