/** Joins two byte streams in both directions, each side read only as fast as the other side takes it. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";

/**
 * Resolves when both directions have ended; an error or early close on either side destroys the other.
 * An error is the ordinary end of a console whose client left, so none is thrown.
 */
export async function relay(left: Duplex, right: Duplex): Promise<void> {
  await Promise.allSettled([pipeline(left, right), pipeline(right, left)]);
}
