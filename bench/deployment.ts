/** virtpod as it is deployed: made when it is missing, its pods found. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Client } from "../kube/client.ts";
import { KubeError, NotFoundError } from "../kube/errors.ts";
import type { Pod } from "../kube/resources.ts";
import { connectCluster, ROOT } from "../test/harness/cluster.ts";
import { SYSTEM, systemPods } from "../test/harness/system.ts";
import type { Progress } from "./progress.ts";

export const NAMESPACE = SYSTEM;
const OPERATOR = "virtpod-operator";
const AGENT = "virtpod-agent";

/** A client of a cluster where virtpod runs; cluster and deployment are made when they are missing. */
export async function deployedCluster(progress: Progress): Promise<Client> {
  if (!(await isDeployed())) {
    progress("no cluster with virtpod here: make cluster-up deploy");
    const { status } = spawnSync("make", ["cluster-up", "deploy"], { cwd: ROOT, stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new Error("make cluster-up deploy failed: see above");
  }
  return connectCluster("virtpod-bench/1.0");
}

/** The operator's running pods, or the agents'. */
export async function programPods(client: Client, program: "operator" | "agent"): Promise<Pod[]> {
  const name = program === "operator" ? OPERATOR : AGENT;
  const pods = (await systemPods(client, name)).filter(({ status }) => status?.phase === "Running");
  if (pods.length === 0) throw new Error(`no pod of ${name} runs in namespace ${NAMESPACE}`);
  return pods;
}

async function isDeployed(): Promise<boolean> {
  if (process.env["KUBECONFIG"] === undefined && !existsSync(`${ROOT}/.cluster/kubeconfig`)) return false;
  const client = await connectCluster("virtpod-bench/1.0");
  try {
    const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${OPERATOR}`;
    const action = `get deployment ${NAMESPACE}/${OPERATOR}`;
    const { status } = await client.request<{ status?: { availableReplicas?: number } }>({
      method: "GET",
      path,
      action,
      timeoutMs: 5000,
    });
    return (status?.availableReplicas ?? 0) > 0;
  } catch (error) {
    // No such deployment, or no cluster behind an old kubeconfig: both end with make deploy.
    if (error instanceof NotFoundError || (error instanceof KubeError && error.statusCode === undefined))
      return false;
    throw error;
  } finally {
    await client.close();
  }
}
