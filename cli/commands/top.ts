/** `virtpod top [NAME…]`: what virtual machines use of their nodes, measured twice. */
import { setTimeout as delay } from "node:timers/promises";
import { OWN_SUBRESOURCES_GROUP } from "../../api/names.ts";
import type { InstanceUsage } from "../../api/usage.ts";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { getJson } from "../request.ts";
import { subresourcePath } from "../subresource.ts";
import { type MeasuredInstance, usageTable } from "../usage-table.ts";

export interface TopFlags extends ClusterFlags {
  readonly allNamespaces?: boolean;
  /** Seconds between the two measurements. */
  readonly interval: number;
  readonly output: "table" | "json";
}

interface Instance {
  readonly namespace: string;
  readonly name: string;
}

/** Machines that are asked at once. */
const CONCURRENCY = 8;

/** @throws CliError also when one that was named could not be measured, once the others are told */
export async function top(names: readonly string[], flags: TopFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const instances = await instancesOf(cluster, names, flags.allNamespaces === true);
  const measured = await withProgress("measuring", measure(cluster, instances, flags.interval * 1000));
  const failures = names.length === 0 ? [] : failuresOf(measured);
  if (flags.output === "json") process.stdout.write(`${JSON.stringify(measured, null, 2)}\n`);
  else if (failures.length < measured.length)
    process.stdout.write(usageTable(measured, flags.allNamespaces === true));
  if (failures.length > 0) throw new CliError(failures.join("; "));
}

function failuresOf(measured: readonly MeasuredInstance[]): readonly string[] {
  return measured.flatMap(({ usage }) => (typeof usage === "string" ? usage : []));
}

/** @throws CliError */
async function instancesOf(
  cluster: Cluster,
  names: readonly string[],
  allNamespaces: boolean,
): Promise<readonly Instance[]> {
  const { namespace } = cluster;
  if (names.length > 0) {
    if (allNamespaces) throw new CliError("a name is of one namespace: leave --all-namespaces out");
    return names.map((name) => ({ namespace, name }));
  }
  const within = allNamespaces ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const list = (await getJson(cluster, `/apis/kubevirt.io/v1${within}/virtualmachineinstances`)) as {
    items: readonly { metadata: Instance; status?: { phase?: string } }[];
  };
  const running = list.items.filter(({ status }) => status?.phase === "Running");
  if (running.length === 0) {
    const where = allNamespaces ? "in the cluster" : `in namespace ${namespace}`;
    throw new CliError(`no virtual machine is running ${where}`);
  }
  return running.map(({ metadata }) => ({ namespace: metadata.namespace, name: metadata.name }));
}

async function measure(
  cluster: Cluster,
  instances: readonly Instance[],
  intervalMs: number,
): Promise<readonly MeasuredInstance[]> {
  const first = await usagesOf(cluster, instances);
  await delay(intervalMs);
  const last = await usagesOf(cluster, instances);
  return instances.map((instance, index) => {
    const [before, after] = [first[index] ?? "not measured", last[index] ?? "not measured"];
    const usage =
      typeof before === "string" ? before : typeof after === "string" ? after : ([before, after] as const);
    return { ...instance, usage };
  });
}

/** A sentence in place of what could not be measured: one that is just ending keeps nobody from seeing the others. */
async function usagesOf(
  cluster: Cluster,
  instances: readonly Instance[],
): Promise<readonly (InstanceUsage | string)[]> {
  const usages: (InstanceUsage | string)[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < instances.length; index = next++) {
      const { name, namespace } = instances[index] as Instance;
      const path = subresourcePath(
        { namespace, resource: "virtualmachineinstances", name, subresource: "usage" },
        OWN_SUBRESOURCES_GROUP,
      );
      usages[index] = await getJson(cluster, path).then(
        (answer) => answer as InstanceUsage,
        (error: unknown) => {
          if (error instanceof CliError) return error.message;
          throw error;
        },
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, instances.length) }, worker));
  return usages;
}
