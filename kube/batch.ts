/** What became of a slow start. */
export interface BatchOutcome {
  readonly succeeded: number;
  /** Runs not begun, because one before them failed. */
  readonly skipped: number;
  readonly errors: readonly unknown[];
}

/**
 * Runs `count` calls in batches of 1, 2, 4 …, and stops after the first batch with a failure: a quota that refuses
 * one pod refuses five hundred, and one request shows it as well. client-go's slowStartBatch.
 * @param maxBatch largest batch; 500 unless told
 */
export async function slowStartBatch(
  count: number,
  run: (index: number) => Promise<void>,
  maxBatch = 500,
): Promise<BatchOutcome> {
  let done = 0;
  for (let size = 1; done < count; size *= 2) {
    const batch = Array.from(
      { length: Math.min(size, maxBatch, count - done) },
      (_, offset) => done + offset,
    );
    const results = await Promise.allSettled(batch.map(run));
    const errors = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as unknown] : [],
    );
    done += batch.length;
    if (errors.length > 0) {
      return { succeeded: done - errors.length, skipped: count - done, errors };
    }
  }
  return { succeeded: count, skipped: 0, errors: [] };
}
