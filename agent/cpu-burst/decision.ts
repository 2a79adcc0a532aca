/** What a launcher's cgroups shall have, by what was announced of it and what they have. Pure. */
import type { AnnouncedCpu } from "../../api/uplink-protocol.ts";
import {
  burstOfBase,
  LEVELS,
  type Level,
  type PodBandwidth,
  type PodTarget,
  quotaOfLimit,
} from "./bandwidth.ts";
import { judgeQuota, type QuotaFinding, type QuotaOwnership, repairable } from "./ownership.ts";

/** What is remembered from one look to the next. */
export interface BurstState {
  readonly ownership: { readonly [At in Level]?: QuotaOwnership };
  /** The container's quota as scaled; absent at the kubelet's own. */
  readonly scaledMicros?: number;
  /** The periods that the quotas of `ownership` are of. */
  readonly periods?: Readonly<Record<Level, number>>;
  /** An agent before this one may have scaled quotas: whatever differs from the base at the first look is its doing. */
  readonly inheritsQuotas?: true;
}

export interface Decision {
  readonly state: BurstState;
  readonly target: PodTarget;
  /** Levels where the kubelet's rewrite was kept, and where a stranger's is taken back. */
  readonly adopted: readonly Level[];
  readonly repaired: readonly Level[];
}

export type BaseQuotas = Readonly<Record<Level, number>>;

export function baseQuotas(
  { baseMilliCpu, podBaseMilliCpu = baseMilliCpu }: Pick<AnnouncedCpu, "baseMilliCpu" | "podBaseMilliCpu">,
  { pod, container }: PodBandwidth,
): BaseQuotas {
  return {
    pod: quotaOfLimit(podBaseMilliCpu, pod.periodMicros),
    container: quotaOfLimit(baseMilliCpu, container.periodMicros),
  };
}

/** @param nowMs of a clock that doesn't go back */
export function decide(
  before: BurstState,
  actual: PodBandwidth,
  announced: AnnouncedCpu,
  nowMs: number,
): Decision {
  const base = baseQuotas(announced, actual);
  const judged = LEVELS.flatMap((level) => {
    const { quotaMicros } = actual[level];
    const known = knownOf(before, level, actual) ?? inherited(before, quotaMicros, base[level]);
    // What the kubelet doesn't limit, nor does the agent: a pod one of whose containers has no limit, a container on
    // exclusive CPUs (CPU manager static), and anything without CFS quotas.
    if (known === undefined && quotaMicros === null) return [];
    return { level, ...judgeQuota(known, quotaMicros, base[level], nowMs) };
  });
  // Both at once, or two strangers who take turns would never be repaired: neither can be written for the other's sake.
  const isRepair = judged.some(({ finding }) => finding === "repairable");
  const found = judged.map((one) =>
    isRepair && one.finding === "strange" ? { ...one, ...repairable(base[one.level]) } : one,
  );
  const levelsWith = (finding: QuotaFinding) =>
    found.filter((one) => one.finding === finding).map(({ level }) => level);
  const [adopted, repaired] = [levelsWith("adopted"), levelsWith("repairable")];
  const isOthers = adopted.length + repaired.length > 0;
  const ownership = Object.fromEntries(found.map((one) => [one.level, one.ownership]));
  const state: BurstState = {
    ownership,
    periods: { pod: actual.pod.periodMicros, container: actual.container.periodMicros },
    // Scaling goes on from where the quota has been put.
    ...(before.scaledMicros !== undefined && !isOthers && { scaledMicros: before.scaledMicros }),
  };
  return { state, target: targetOf(state, actual, announced, base), adopted, repaired };
}

/** What belongs to nobody else is put back; a quota that somebody else has written meanwhile is theirs. */
export function resetTarget(state: BurstState, actual: PodBandwidth, base: BaseQuotas): PodTarget {
  const at = (level: Level) => {
    const { quotaMicros } = actual[level];
    const ownership = knownOf(state, level, actual) ?? inherited(state, quotaMicros, base[level]);
    const isScaled = ownership?.scaled !== undefined && ownership.scaled === quotaMicros;
    return { quotaMicros: isScaled ? ownership.lawful : quotaMicros, burstMicros: 0 };
  };
  return { pod: at("pod"), container: at("container") };
}

/** The state after a quota was written. */
export function withQuota(state: BurstState, level: Level, quotaMicros: number | null): BurstState {
  const lawful = state.ownership[level]?.lawful ?? quotaMicros;
  const isScaled = quotaMicros !== null && quotaMicros !== lawful;
  const ownership = isScaled ? { lawful, scaled: quotaMicros } : { lawful };
  return { ...state, ownership: { ...state.ownership, [level]: ownership } };
}

function targetOf(
  { ownership, scaledMicros }: BurstState,
  actual: PodBandwidth,
  announced: AnnouncedCpu,
  base: BaseQuotas,
): PodTarget {
  const burst = burstOfBase(announced.burst, base.container);
  const bursts = { container: burst, pod: Math.min(burst, base.pod) };
  const withQuotas = (pod: number | null, container: number | null): PodTarget => ({
    pod: { quotaMicros: pod, burstMicros: bursts.pod },
    container: { quotaMicros: container, burstMicros: bursts.container },
  });
  const isStrange = LEVELS.some((level) => ownership[level]?.stranger !== undefined);
  if (isStrange) return withQuotas(actual.pod.quotaMicros, actual.container.quotaMicros);
  const pod = ownership.pod?.lawful ?? null;
  const container = ownership.container?.lawful ?? null;
  if (scaledMicros === undefined || container === null) return withQuotas(pod, container);
  // What the container has above its limit, the pod has too.
  const raised = ((scaledMicros - container) * actual.pod.periodMicros) / actual.container.periodMicros;
  return withQuotas(pod === null ? null : pod + Math.ceil(raised), scaledMicros);
}

/** A quota of another period is another limit: nothing is known of it. */
function knownOf({ ownership, periods }: BurstState, level: Level, actual: PodBandwidth) {
  return periods?.[level] === actual[level].periodMicros ? ownership[level] : undefined;
}

function inherited(
  { inheritsQuotas }: BurstState,
  quotaMicros: number | null,
  base: number,
): QuotaOwnership | undefined {
  if (inheritsQuotas === undefined || quotaMicros === null) return undefined;
  return quotaMicros === base ? { lawful: base } : { lawful: base, scaled: quotaMicros };
}
