/** The wiring of a pod as a shell script that calls `ip` once for each command, as one would write it by hand. */
import { readNetwork } from "../agent/network/apply.ts";
import { linkDifferences } from "../agent/network/difference.ts";
import { discoverInterface } from "../agent/network/discover.ts";
import { openNamespace } from "../agent/network/namespace.ts";
import { OBSERVE_BATCH } from "../agent/network/observed.ts";
import { planNetwork } from "../agent/network/plan.ts";
import type { WireOptions } from "../agent/network/types.ts";

export interface WiringScript {
  /** For `sh -e -s` in the pod's network namespace. */
  readonly script: string;
  /** Besides the shell. */
  readonly processes: number;
}

/** Of a pod that is not wired. */
export async function wiringScript(options: WireOptions): Promise<WiringScript> {
  const { podUid, interfaces } = options;
  await using namespace = await openNamespace(options.netns, options.hostNetns, podUid);
  const observed = await readNetwork(namespace);
  const plan = planNetwork(
    podUid,
    interfaces.map((announced) => ({
      announced,
      discovered: discoverInterface(observed, podUid, announced.podInterface),
    })),
  );
  const differences = plan.interfaces.flatMap((planned) => linkDifferences(observed, planned));
  const reads = OBSERVE_BATCH.map((command) => `ip -details -json ${command}`);
  const changes = differences.flatMap(({ commands }) => commands).map((command) => `ip ${command}`);
  const writes = plan.sysctls.map(({ path, value }) => `echo ${value} > /proc/sys/${path}`);
  return {
    script: [...reads, "nft -f - <<'RULES'", plan.guard.text, "RULES", ...changes, ...writes, ""].join("\n"),
    processes: reads.length + 1 + changes.length,
  };
}
