/**
 * Whose value a quota is. The kubelet and the runtime write quotas too: on every update of a container, at a resize, at
 * a systemd reload. What they write is what the pod's spec says, and is kept; anything else is a stranger's, and is put
 * back to the base, but not at once: a resize may be told to the agent later than to the cgroup. Pure.
 */

/** For this time a quota that nobody can account for is left alone: far longer than an announcement takes. */
export const STRANGER_GRACE_MS = 10_000;

/** What the agent holds of one cgroup's quota; null: no quota. */
export interface QuotaOwnership {
  /** What the kubelet wrote last, as far as is known: where every reset ends. */
  readonly lawful: number | null;
  /** What the agent itself has written over it; undefined while it has not. */
  readonly scaled?: number;
  /** What somebody else has written, and when that was first seen. */
  readonly stranger?: { readonly quotaMicros: number | null; readonly sinceMs: number };
}

export type QuotaFinding =
  /** As it was left. */
  | "expected"
  /** Written anew by the kubelet or the runtime. */
  | "adopted"
  /** Somebody else's; nothing is written while it is looked at. */
  | "strange"
  /** Somebody else's for too long: it belongs back to the base. */
  | "repairable";

export interface QuotaJudgement {
  readonly finding: QuotaFinding;
  readonly ownership: QuotaOwnership;
}

/**
 * @param ownership undefined at the first look
 * @param actual the quota in the cgroup now
 * @param base what the pod's spec says, as announced
 * @param nowMs of a clock that doesn't go back
 */
export function judgeQuota(
  ownership: QuotaOwnership | undefined,
  actual: number | null,
  base: number,
  nowMs: number,
): QuotaJudgement {
  if (ownership === undefined) {
    if (actual === base) return { finding: "expected", ownership: { lawful: base } };
    return {
      finding: "strange",
      ownership: { lawful: base, stranger: { quotaMicros: actual, sinceMs: nowMs } },
    };
  }
  const { lawful, scaled, stranger } = ownership;
  if (actual === (scaled ?? lawful)) {
    return { finding: "expected", ownership: scaled === undefined ? { lawful } : { lawful, scaled } };
  }
  if (actual === base || actual === lawful) return { finding: "adopted", ownership: { lawful: actual } };
  const sinceMs = stranger?.quotaMicros === actual ? stranger.sinceMs : nowMs;
  if (nowMs - sinceMs >= STRANGER_GRACE_MS) return repairable(base);
  return { finding: "strange", ownership: { ...ownership, stranger: { quotaMicros: actual, sinceMs } } };
}

/** A stranger's quota that is put back to the base. */
export function repairable(base: number): QuotaJudgement {
  return { finding: "repairable", ownership: { lawful: base } };
}
