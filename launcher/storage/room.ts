/** Looks whether a disk that ran out of room has some again. */
import { statfs } from "node:fs/promises";
import type { ResolvedDisk } from "../domain/resources.ts";
import type { RoomFinding } from "../lifecycle/events.ts";

/** Less would be full again at once; of a small file system, a part of it. */
const ENOUGH_BYTES = 16 * 1024 * 1024;
const ENOUGH_SHARE = 1 / 20;

/**
 * `unknown` where a disk lies on no file system that could be asked.
 * @param name of the disk; every disk where it isn't known which one failed
 */
export async function lookForRoom(
  disks: readonly ResolvedDisk[],
  name: string | undefined,
): Promise<RoomFinding> {
  const asked = disks.filter((disk) => disk.kind === "file" && (name === undefined || disk.name === name));
  if (asked.length === 0) return "unknown";
  const findings = await Promise.all(asked.map(({ path }) => hasRoom(path)));
  return findings.every((found) => found) ? "found" : "none";
}

async function hasRoom(path: string): Promise<boolean> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    return bavail * bsize >= Math.min(ENOUGH_BYTES, blocks * bsize * ENOUGH_SHARE);
  } catch {
    // Storage that is away has no room now.
    return false;
  }
}
