/** The operator that the cluster itself runs: it makes room for the ones under test, and comes back. */
import { copyFile } from "node:fs/promises";
import type { Client } from "../../kube/client.ts";
import { ConflictError, ignoreNotFound } from "../../kube/errors.ts";
import { describe, type ObjectMeta } from "../../kube/objects.ts";
import { mergePatch } from "../../kube/request.ts";
import { LEASES, PODS } from "../../kube/resources.ts";
import { until, untilGone } from "../harness/cluster.ts";
import { processesOf } from "../harness/node.ts";
import { SYSTEM, systemPods } from "../harness/system.ts";

const DEPLOYMENT = "virtpod-operator";
const LEASE = "virtpod-operator";
/** In the operator's image. */
const PROGRAM = "/usr/share/virtpod/operator.mjs";
/** How many replicas there were, for a run after one that was killed. */
const REPLICAS = "virtpod.io/test-replicas";

interface Deployment {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec: {
    replicas?: number;
    template: {
      spec: { containers: { command?: string[]; env?: { name: string; value?: string }[] }[] };
    };
  };
  status?: { readyReplicas?: number; replicas?: number };
}

const DEPLOYMENTS = describe<Deployment>({
  group: "apps",
  version: "v1",
  plural: "deployments",
  kind: "Deployment",
  namespaced: true,
});

/** How the cluster runs it. */
export interface OperatorContainer {
  /** Node's, which decide how much memory it takes. */
  readonly flags: readonly string[];
  /** As far as it stands in the Deployment. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * @param program where to put the program out of the operator's image: what is tested is what was deployed
 */
export async function scaleAway(client: Client, program: string): Promise<OperatorContainer> {
  const deployments = client.resource(DEPLOYMENTS).namespace(SYSTEM);
  let deployment = await deployments.get(DEPLOYMENT);
  if (deployment.spec.replicas === 0) {
    // A run that was killed left it so.
    await scaleBack(client);
    deployment = await deployments.get(DEPLOYMENT);
  }
  const replicas = deployment.spec.replicas ?? 1;
  const pods = await systemPods(client, DEPLOYMENT);
  const [running] = pods.flatMap(({ metadata }) =>
    processesOf(metadata.uid).filter((one) => one.program === "node"),
  );
  if (running === undefined) throw new Error(`no pod of ${DEPLOYMENT} runs on this machine`);
  await copyFile(`/proc/${running.pid}/root${PROGRAM}`, program);
  await deployments.patch(
    DEPLOYMENT,
    mergePatch({ metadata: { annotations: { [REPLICAS]: String(replicas) } }, spec: { replicas: 0 } }),
  );
  await Promise.all(
    pods.map(({ metadata: { name } }) =>
      untilGone(client, PODS, { namespace: SYSTEM, name, timeoutMs: 60_000 }),
    ),
  );
  await freeLease(client);
  const [container] = deployment.spec.template.spec.containers;
  const environment = Object.fromEntries(
    (container?.env ?? []).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
  );
  return { flags: container?.command?.filter((word) => word.startsWith("--")) ?? [], environment };
}

/** Resolves when as many replicas are ready as there were. */
export async function scaleBack(client: Client): Promise<void> {
  const deployments = client.resource(DEPLOYMENTS).namespace(SYSTEM);
  const { metadata } = await deployments.get(DEPLOYMENT);
  const replicas = Number(metadata.annotations?.[REPLICAS] ?? "2");
  await deployments.patch(
    DEPLOYMENT,
    mergePatch({ metadata: { annotations: { [REPLICAS]: null } }, spec: { replicas } }),
  );
  await until(client, DEPLOYMENTS, {
    namespace: SYSTEM,
    name: DEPLOYMENT,
    what: "its replicas ready again",
    timeoutMs: 120_000,
    when: (deployment) => deployment?.status?.readyReplicas === replicas,
  });
}

/** What candidates would wait 15 s for after a leader was killed. */
export async function freeLease(client: Client): Promise<void> {
  const leases = client.resource(LEASES).namespace(SYSTEM);
  for (;;) {
    const lease = await leases.get(LEASE).catch(ignoreNotFound);
    if (lease === undefined || lease.spec?.holderIdentity === "") return;
    try {
      await leases.update({ ...lease, spec: { ...lease.spec, holderIdentity: "" } });
      return;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}
