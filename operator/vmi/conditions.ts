/** Conditions as KubeVirt shapes them; lastTransitionTime moves only with the status (Kubernetes API conventions). */

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string | null;
  readonly lastProbeTime?: string | null;
}

export type WantedCondition = Omit<Condition, "lastTransitionTime" | "lastProbeTime">;

/**
 * The wanted conditions in their order; a condition that stood with the same status keeps its transition time.
 * Conditions that are not wanted any more go.
 */
export function mergeConditions(
  before: readonly Condition[],
  wanted: readonly WantedCondition[],
  now: string,
): Condition[] {
  return wanted.map((condition) => {
    const earlier = before.find((one) => one.type === condition.type);
    const lastTransitionTime = earlier?.status === condition.status ? earlier.lastTransitionTime : undefined;
    return { ...withinLimits(condition), lastTransitionTime: lastTransitionTime ?? now };
  });
}

/** Far below the CRD's own limit: a refusal of the API server's may quote the whole object that it refuses. */
const MAX_MESSAGE_CHARACTERS = 4096;

/** Longer than the CRD allows, a message would make every write of the status fail, and so hide itself. */
function withinLimits(condition: WantedCondition): WantedCondition {
  const { message = "" } = condition;
  if (message.length <= MAX_MESSAGE_CHARACTERS) return condition;
  return { ...condition, message: `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…` };
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
}

export function conditionOf(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}
