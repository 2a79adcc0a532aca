/**
 * Judges leadership by what the API server accepted, not by what anybody believed. Pure.
 *
 * What is guaranteed: a leader counts its renew deadline from before it sent its last renewal, and asks its clock
 * before each write; a successor waits for the lease's duration after it saw the lease change last. So a write is on
 * its way before the deadline, and the difference of the two (5 s) is what it may take. One that takes longer arrives
 * after the lease has ended: only its preconditions (resourceVersion, UID, the pod's computed name) stop it then.
 */
import { describeWrite, type Write } from "./journal.ts";

/** client-go's, as the operator has them. */
export const LEASE_DURATION_MS = 15_000;
export const RENEW_DEADLINE_MS = 10_000;

interface Reign {
  readonly holder: string;
  /** Address of the process. */
  readonly client: string;
  readonly term: number;
  readonly begunMs: number;
  /** When its last renewal arrived at the API server. */
  renewedMs: number;
  /** It gave the lease up itself. */
  releasedMs?: number;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseTransitions?: number;
}

/** Who led when, by the accepted writes of the lease. */
export function reigns(writes: readonly Write[]): Reign[] {
  const found: Reign[] = [];
  for (const { exchange, status, sentMs, answeredMs } of writes) {
    if (exchange.resource !== "leases" || status > 299) continue;
    const { holderIdentity: holder = "", leaseTransitions: term = 0 } =
      (exchange.body as { spec?: LeaseSpec } | undefined)?.spec ?? {};
    const last = found.at(-1);
    if (holder === "") {
      if (last !== undefined) last.releasedMs = answeredMs;
    } else if (last?.holder === holder && last.term === term) {
      last.renewedMs = sentMs;
    } else {
      found.push({ holder, client: exchange.client, term, begunMs: answeredMs, renewedMs: sentMs });
    }
  }
  return found;
}

/** Reigns that began while the one before still held good for its holder, as sentences. */
export function overlaps(found: readonly Reign[]): string[] {
  return found.flatMap((reign, index) => {
    const before = found[index - 1];
    if (before === undefined) return [];
    const problems: string[] = [];
    const validUntilMs = before.releasedMs ?? before.renewedMs + RENEW_DEADLINE_MS;
    if (reign.begunMs < validUntilMs) {
      problems.push(
        `${reign.holder} led ${validUntilMs - reign.begunMs} ms before ${before.holder} had to stop`,
      );
    }
    if (reign.term <= before.term)
      problems.push(`${reign.holder} led in term ${reign.term} after ${before.term}`);
    return problems;
  });
}

/** Accepted writes to `namespace` by a process whose lease had not begun or had ended, as sentences. */
export function usurpations(writes: readonly Write[], namespace: string): string[] {
  const found = reigns(writes);
  return (
    writes
      .filter(({ exchange, status }) => exchange.namespace === namespace && status < 300)
      // Events are told by every replica.
      .filter(({ exchange }) => exchange.resource !== "events")
      .filter(
        ({ exchange, sentMs }) =>
          !found.some(({ client, begunMs, renewedMs, releasedMs }) => {
            const endMs = releasedMs ?? renewedMs + LEASE_DURATION_MS;
            return client === exchange.client && begunMs <= sentMs && sentMs <= endMs;
          }),
      )
      .map((write) => `${describeWrite(write)} by ${write.exchange.client}, who did not lead`)
  );
}
