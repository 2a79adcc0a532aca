/** `virtpod guestosinfo`, `userlist`, `fslist`, `freeze` and `unfreeze`: what goes through a guest's agent. */
import { FREEZE_DEADLINE_MS } from "../../api/launcher-protocol.ts";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { type GuestList, guestTable } from "../guest-table.ts";
import { type OutputFlag, print } from "../output.ts";
import { withProgress } from "../progress.ts";
import { getJson, putJson } from "../request.ts";
import { subresourcePath } from "../subresource.ts";

export type GuestFlags = ClusterFlags & OutputFlag;

export interface FreezeFlags extends ClusterFlags {
  readonly unfreezeTimeout: string;
}

const SUBRESOURCES = { guestosinfo: "guestosinfo", userlist: "userlist", fslist: "filesystemlist" } as const;
/** The guest's own hooks run before it is frozen; the operator waits for them this long, and a little more. */
const DEADLINE_MS = FREEZE_DEADLINE_MS + 10_000;

/** @throws CliError */
export async function askGuest(list: GuestList, name: string, flags: GuestFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const asked = getJson(cluster, pathOf(cluster, name, SUBRESOURCES[list]));
  const answer = await withProgress(`asking the agent of ${cluster.namespace}/${name}`, asked);
  print(answer, (value) => guestTable(list, value), flags);
}

/** @throws CliError */
export async function freeze(name: string, { unfreezeTimeout, ...flags }: FreezeFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const path = pathOf(cluster, name, "freeze");
  const asked = putJson(cluster, path, { unfreezeTimeout }, DEADLINE_MS);
  await withProgress(`freezing ${cluster.namespace}/${name}`, asked);
  process.stdout.write(`VMI ${name} is frozen\n`);
}

/** @throws CliError */
export async function unfreeze(name: string, flags: ClusterFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const asked = putJson(cluster, pathOf(cluster, name, "unfreeze"), {}, DEADLINE_MS);
  await withProgress(`unfreezing ${cluster.namespace}/${name}`, asked);
  process.stdout.write(`VMI ${name} is unfrozen\n`);
}

function pathOf({ namespace }: Cluster, name: string, subresource: string): string {
  return subresourcePath({ namespace, resource: "virtualmachineinstances", name, subresource });
}
