/** Joins two byte streams in both directions, each side read only as fast as the other side takes it. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";

/**
 * Resolves when both directions have ended; an error or early close on either side destroys the other.
 * An error is the ordinary end of a console whose client left, so none is thrown.
 */
export async function relay(left: Duplex, right: Duplex): Promise<void> {
  // pipeline() listens for errors only until it is over; one that comes later concerns nobody, and must not be fatal.
  for (const side of [left, right]) side.on("error", () => {});
  await Promise.allSettled([pipeline(left, right), pipeline(right, left)]);
}
