/**
 * What a pod's interfaces were before they were rewired, on the agent's disk by pod UID: afterwards the namespace
 * does not hold it any more, and neither a restarted agent nor a restarted container could finish or tell it.
 */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DiscoveredInterface } from "./discover.ts";
import { NetworkError } from "./errors.ts";

export interface SavedNetwork {
  readonly version: 1;
  /** Inode of the network namespace, as decimal digits. */
  readonly namespace: string;
  readonly interfaces: readonly DiscoveredInterface[];
}

const POD_UID = /^[A-Za-z0-9-]{1,64}$/;

/** Undefined when nothing was saved for the pod. */
export async function loadState(directory: string, podUid: string): Promise<SavedNetwork | undefined> {
  let content: string;
  try {
    content = await readFile(fileOf(directory, podUid), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const state: unknown = JSON.parse(content);
    if (isSaved(state)) return state;
  } catch {
    // Said below, as for a file that is JSON but not ours.
  }
  throw new NetworkError(
    "StateLost",
    `pod ${podUid}: the record of its network, ${fileOf(directory, podUid)}, is not readable; delete the pod`,
  );
}

/** Complete on the disk when it resolves, or not there at all. */
export async function saveState(directory: string, podUid: string, state: SavedNetwork): Promise<void> {
  const file = fileOf(directory, podUid);
  const temporary = `${file}.new`;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using handle = await open(temporary, "w", 0o600);
    await handle.writeFile(JSON.stringify(state));
    await handle.sync();
    await rename(temporary, file);
    // The new name is durable only when the directory is.
    await using parent = await open(directory, "r");
    await parent.sync();
  } catch (cause) {
    throw new NetworkError("StateUnwritable", `pod ${podUid}: save ${file}: ${String(cause)}`, { cause });
  }
}

/** Removes the records of all pods but those that are kept, whoever left them: also an agent that was killed. */
export async function removeOtherStates(
  directory: string,
  isKept: (podUid: string) => boolean,
): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  for (const name of names) {
    const podUid = name.replace(/\.json(\.new)?$/, "");
    if (!isKept(podUid)) await rm(join(directory, name), { force: true });
  }
}

function fileOf(directory: string, podUid: string): string {
  if (!POD_UID.test(podUid)) throw new NetworkError("StateLost", `"${podUid}" is no pod UID`);
  return join(directory, `${podUid}.json`);
}

function isSaved(value: unknown): value is SavedNetwork {
  if (typeof value !== "object" || value === null) return false;
  if (!("version" in value && "namespace" in value && "interfaces" in value)) return false;
  return value.version === 1 && typeof value.namespace === "string" && Array.isArray(value.interfaces);
}
