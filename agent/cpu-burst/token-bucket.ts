/**
 * For how long a VM may run above its limit: it uses up tokens while it does, and earns them while it stays well below.
 * A token is one per cent of the limit for one second. Koordinator's limiter, in whole. Pure.
 */
import type { CpuBurstStrategy } from "../../api/cpu-burst.ts";

/** From this use of the limit tokens are used up, in per cent. */
const USING_PERCENT = 100;
/** Below this use of the limit tokens are earned, in per cent. */
const EARNING_PERCENT = 60;
/** What a VM is assumed to use while nobody knows, in per cent. */
export const ASSUMED_USE_PERCENT = 100;
/** Of its capacity, at most, a bucket has this part at first: not all VMs of a node shall run out at once. */
const INITIAL_SHARE = 0.5;

export interface TokenBucket {
  readonly capacity: number;
  /** From −capacity to capacity. */
  readonly tokens: number;
  readonly atMs: number;
}

/** Tokens that a strategy lets a VM save; undefined where it sets no limit. */
export function bucketCapacity({ quotaPercent, quotaPeriodSeconds }: CpuBurstStrategy): number | undefined {
  return quotaPeriodSeconds < 0 ? undefined : quotaPeriodSeconds * (quotaPercent - 100);
}

/**
 * The bucket after the time until `nowMs` at a use of `usePercent` of the limit; a new one where there was none or its
 * capacity is another.
 * @param nowMs of a clock that doesn't go back
 * @param random in [0, 1)
 */
export function advanceBucket(
  bucket: TokenBucket | undefined,
  capacity: number,
  usePercent: number,
  nowMs: number,
  random: () => number,
): TokenBucket {
  if (bucket?.capacity !== capacity) {
    return { capacity, tokens: random() * INITIAL_SHARE * capacity, atMs: nowMs };
  }
  const seconds = Math.max(0, nowMs - bucket.atMs) / 1_000;
  const tokens = Math.min(capacity, Math.max(-capacity, bucket.tokens + gain(usePercent) * seconds));
  return { capacity, tokens, atMs: nowMs };
}

/** Tokens per second. */
function gain(usePercent: number): number {
  return usePercent >= USING_PERCENT || usePercent < EARNING_PERCENT ? 100 - usePercent : 0;
}
