/** MAC addresses for links that the agent makes. */
import { createHash } from "node:crypto";

/** Locally administered, unicast, and the same each time that the plan is made. */
export function derivedMac(podUid: string, podInterface: string, role: "bridge" | "uplink"): string {
  const digest = createHash("sha256").update(`${podUid}/${podInterface}/${role}`).digest();
  const octets = [((digest[0] ?? 0) & 0xfc) | 0x02, ...digest.subarray(1, 6)];
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}
