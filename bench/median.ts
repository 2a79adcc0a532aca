/** Figures from samples. */

/** The middle sample, or the mean of the two in the middle. @throws RangeError without samples */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError("there is no median of no samples");
  return (lower + upper) / 2;
}

/** Cut to the digits that the meters are good for. */
export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}
