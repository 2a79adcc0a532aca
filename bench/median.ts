/** Figures from samples. */

/** The middle sample, or the mean of the two in the middle. @throws RangeError without samples */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError("there is no median of no samples");
  return (lower + upper) / 2;
}

/** The smallest sample that at least `percent` per cent of the samples do not exceed (nearest rank). @throws RangeError without samples */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("there is no percentile of no samples");
  return value;
}

/** Cut to the digits that the meters are good for. */
export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}
