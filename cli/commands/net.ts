/** `virtpod net NAME`: the way of a guest's frames, and what has passed where. */
import { OWN_SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { NetworkPath } from "../../api/network-path.ts";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { networkTable } from "../network-table.ts";
import { getJson } from "../request.ts";
import { subresourcePath } from "../subresource.ts";

export interface NetFlags extends ClusterFlags {
  readonly output: "table" | "json";
}

/** @throws CliError */
export async function net(name: string, flags: NetFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const path = subresourcePath(
    { namespace: cluster.namespace, resource: "virtualmachineinstances", name, subresource: "network" },
    OWN_SUBRESOURCES_GROUP,
  );
  const answer = (await getJson(cluster, path)) as NetworkPath;
  process.stdout.write(
    flags.output === "json" ? `${JSON.stringify(answer, null, 2)}\n` : networkTable(answer),
  );
}
