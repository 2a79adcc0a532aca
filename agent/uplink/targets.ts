/** Which operator replicas to hold connections to. Pure. */

export interface TargetPlan {
  /** Addresses to begin to dial. */
  readonly dial: readonly string[];
  /** Addresses not to dial again. */
  readonly retire: readonly string[];
}

/** More replicas than anyone runs: a name that resolves to more is not the operator's. */
export const MAX_REPLICAS = 16;

/**
 * @param held addresses that are dialled or connected now
 * @param resolved addresses of the headless service; undefined when the name could not be resolved, which says
 *   nothing about the replicas
 */
export function planTargets(held: ReadonlySet<string>, resolved: readonly string[] | undefined): TargetPlan {
  if (resolved === undefined) return { dial: [], retire: [] };
  const wanted = new Set(resolved.slice(0, MAX_REPLICAS));
  return {
    dial: [...wanted].filter((address) => !held.has(address)),
    retire: [...held].filter((address) => !wanted.has(address)),
  };
}
