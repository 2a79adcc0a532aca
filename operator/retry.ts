/** How soon a controller tries again what has failed. */
import { ItemExponentialFailureRateLimiter, type RateLimiter } from "../kube/rate-limiter.ts";

/** No event tells that a quota was raised or a policy relaxed: whoever did it waits no longer than this. */
const MAX_RETRY_MS = 60_000;

export function retryLimiter(): RateLimiter {
  return new ItemExponentialFailureRateLimiter(undefined, MAX_RETRY_MS);
}
