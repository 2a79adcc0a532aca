import type { Lease } from "./resources.ts";

/** What a candidate may do about a lease. */
export type Step = "create" | "take" | "renew" | "wait";

/**
 * @param observedMs when, by our own monotonic clock, the lease was seen to change or vanish last, -Infinity if
 *   never: clocks of two machines are never compared
 */
export function nextStep(
  lease: Lease | undefined,
  identity: string,
  observedMs: number,
  nowMs: number,
  leaseDurationMs: number,
): Step {
  if (lease === undefined) {
    // Deleted before our eyes: whoever led may not know yet.
    return nowMs >= observedMs + leaseDurationMs ? "create" : "wait";
  }
  const holder = lease.spec?.holderIdentity ?? "";
  if (holder === identity) {
    return "renew";
  }
  const durationMs = Math.max((lease.spec?.leaseDurationSeconds ?? 0) * 1000, leaseDurationMs);
  return holder === "" || nowMs >= observedMs + durationMs ? "take" : "wait";
}

/** The lease as its holder writes it. Each new leadership is a new transition, so that terms are never used twice. */
export function heldSpec(
  lease: Lease | undefined,
  options: {
    readonly identity: string;
    /** False for the first write of a leadership. */
    readonly isLeading: boolean;
    readonly durationMs: number;
    readonly epochMs: number;
  },
): NonNullable<Lease["spec"]> {
  const { identity, isLeading, durationMs, epochMs } = options;
  const now = microTime(epochMs);
  const transitions = lease?.spec?.leaseTransitions ?? 0;
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(durationMs / 1000),
    acquireTime: isLeading ? (lease?.spec?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: isLeading || lease === undefined ? transitions : transitions + 1,
  };
}

/** The lease as its holder leaves it, free to be taken. */
export function releasedSpec(lease: Lease, epochMs: number): NonNullable<Lease["spec"]> {
  const now = microTime(epochMs);
  return { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
}

/** RFC 3339 with exactly six decimals: the API server's MicroTime takes nothing else. */
export function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace("Z", "000Z");
}
