/** A clock that all processes of the machine share (CLOCK_MONOTONIC). In milliseconds. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
