/** `virtpod doctor NAME`: gathers what there is to know, and says why the machine doesn't run. */
import { styleText } from "node:util";
import { instanceId } from "../../api/instance-id.ts";
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION, LABEL_INSTANCE_ID, SUBRESOURCES_GROUP } from "../../api/names.ts";
import { type Cluster, type ClusterFlags, clusterOf } from "../cluster.ts";
import type { ClaimFact, EventFact, Facts, NodeFact, PodFact, VmFact, VmiFact } from "../doctor/facts.ts";
import { timeOf } from "../doctor/facts.ts";
import { findingsOf } from "../doctor/findings.ts";
import { doctorPage } from "../doctor/page.ts";
import { CliError } from "../errors.ts";
import { type OutputFlag, print } from "../output.ts";
import { withProgress } from "../progress.ts";
import { getJson, Refusal } from "../request.ts";

export type DoctorFlags = ClusterFlags & OutputFlag;

/** A cluster of thousands of nodes is not read to the end for one machine. */
const MAX_NODES = 200;
const MAX_EVENTS = 500;

interface Volumes {
  readonly volumes?: readonly {
    readonly persistentVolumeClaim?: { readonly claimName: string };
    readonly ephemeral?: { readonly persistentVolumeClaim?: { readonly claimName: string } };
  }[];
}

/** @throws CliError with exit code 1 where something keeps the machine from running */
export async function doctor(name: string, flags: DoctorFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const facts = await withProgress(`examining ${cluster.namespace}/${name}`, gather(cluster, name));
  const findings = findingsOf(facts);
  const { isInstalled, nowMs: _, ...rest } = facts;
  print(
    { ...rest, isInstalled, findings },
    () => doctorPage(facts, findings, (colour, text) => styleText(colour, text, { stream: process.stdout })),
    { output: flags.output ?? "table" },
  );
  if (findings.some(({ level }) => level === "error")) throw new CliError("", { exitCode: 1 });
}

async function gather(cluster: Cluster, name: string): Promise<Facts> {
  const { namespace } = cluster;
  const unseen: string[] = [];
  /** undefined for what isn't there, or may not be seen. */
  const read = async <T>(what: string, path: string): Promise<T | undefined> => {
    try {
      return (await getJson(cluster, path)) as T;
    } catch (error) {
      if (!(error instanceof Refusal) || error.status === undefined) throw error;
      if (error.status !== 404) unseen.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  const list = async <T>(what: string, path: string): Promise<readonly T[]> =>
    (await read<{ readonly items: readonly T[] }>(what, path))?.items ?? [];

  const inNamespace = (group: string, rest: string) =>
    `${group}/namespaces/${encodeURIComponent(namespace)}/${rest}`;
  const own = `/apis/${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}`;
  const selector = encodeURIComponent(`${LABEL_INSTANCE_ID}=${instanceId(name)}`);
  const [group, operatorProblem, vm, vmi, pods, events] = await Promise.all([
    read<object>("the API", own),
    operatorProblemOf(cluster),
    read<VmFact & { readonly spec: { readonly template: { readonly spec: Volumes } } }>(
      "the VM",
      inNamespace(own, `virtualmachines/${encodeURIComponent(name)}`),
    ),
    read<VmiFact & { readonly spec: Volumes }>(
      "the VMI",
      inNamespace(own, `virtualmachineinstances/${encodeURIComponent(name)}`),
    ),
    list<PodFact>("pods", inNamespace("/api/v1", `pods?labelSelector=${selector}`)),
    list<EventFact>("events", inNamespace("/api/v1", `events?limit=${MAX_EVENTS}`)),
  ]);
  const newest = pods.toSorted((a, b) => created(b) - created(a));
  const claimNames = claimsOf(vmi?.spec ?? vm?.spec.template.spec ?? {});
  const nodeName = newest[0]?.spec?.nodeName;
  const [nodes, agents, ...claims] = await Promise.all([
    nodeName === undefined
      ? list<NodeFact>("nodes", `/api/v1/nodes?limit=${MAX_NODES}`)
      : read<NodeFact>("nodes", `/api/v1/nodes/${nodeName}`).then((node) =>
          node === undefined ? [] : [node],
        ),
    nodeName === undefined ? undefined : agentsOn(nodeName, read),
    ...claimNames.map((claim) =>
      read<ClaimFact>(
        "claims",
        inNamespace("/api/v1", `persistentvolumeclaims/${encodeURIComponent(claim)}`),
      ),
    ),
  ]);
  const concerned = new Set([name, ...pods.map(({ metadata }) => metadata.name), ...claimNames]);
  return {
    namespace,
    name,
    nowMs: Date.now(),
    isInstalled: group !== undefined,
    ...(operatorProblem !== undefined && { operatorProblem }),
    ...(vm !== undefined && { vm }),
    ...(vmi !== undefined && { vmi }),
    pods: newest,
    claims: Object.fromEntries(claimNames.map((claim, at) => [claim, claims[at]])),
    nodes,
    ...(agents !== undefined && { agent: agents[0] ?? null }),
    events: events
      .filter(({ involvedObject }) => concerned.has(involvedObject?.name ?? ""))
      .toSorted((a, b) => timeOf(b) - timeOf(a)),
    unseen,
  };
}

/** undefined where it may not be seen. */
async function agentsOn(
  nodeName: string,
  read: <T>(what: string, path: string) => Promise<T | undefined>,
): Promise<readonly PodFact[] | undefined> {
  const selector = encodeURIComponent("app.kubernetes.io/name=virtpod-agent");
  const where = encodeURIComponent(`spec.nodeName=${nodeName}`);
  const path = `/api/v1/pods?labelSelector=${selector}&fieldSelector=${where}`;
  return (await read<{ readonly items: readonly PodFact[] }>("the node's agent", path))?.items;
}

/** Asked as everybody may ask: the discovery document of the API that the operators serve. */
async function operatorProblemOf(cluster: Cluster): Promise<string | undefined> {
  try {
    await getJson(cluster, `/apis/${SUBRESOURCES_GROUP}/v1`);
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal) || error.status === undefined) throw error;
    return error.status === 404 ? "its API isn't registered" : error.message;
  }
}

function claimsOf({ volumes = [] }: Volumes): readonly string[] {
  const names = volumes.map(
    ({ ephemeral, persistentVolumeClaim }) =>
      (persistentVolumeClaim ?? ephemeral?.persistentVolumeClaim)?.claimName,
  );
  return [...new Set(names.filter((claim) => claim !== undefined))];
}

function created({ metadata }: PodFact): number {
  return Date.parse(metadata.creationTimestamp ?? "") || 0;
}
