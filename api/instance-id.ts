/** The value of the label by which KubeVirt's clients select a VMI's pod: its name, as far as a label can hold it. */
import { createHash } from "node:crypto";

/** RFC 1035's, and the longest value of a label. */
const MAX_LENGTH = 63;
const HASH_LENGTH = 8;

/** A longer name's hash tells it from others that begin alike; virtctl computes it in the same way. */
export function instanceId(name: string): string {
  if (name.length <= MAX_LENGTH) return name;
  const hash = createHash("sha1").update(name).digest("hex").slice(0, HASH_LENGTH);
  return `${name.slice(0, MAX_LENGTH - HASH_LENGTH - 1)}-${hash}`;
}
