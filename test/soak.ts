/**
 * `make soak`: VMs come and go for SOAK_MINUTES (60), each until its guest has its address; ends with 1 when one
 * does not, when one leaves something behind, or when operator or agent keep growing.
 */
import { readFileSync } from "node:fs";
import { PODS, type Pod } from "../kube/resources.ts";
import { connectCluster, makeNamespace, removeNamespace } from "./harness/cluster.ts";
import { Guests } from "./harness/guest.ts";
import { processesOf, remainsOf, tracesOf } from "./harness/node.ts";

const MINUTE_MS = 60_000;
const minutes = Number(process.env["SOAK_MINUTES"] ?? "60");
/** VMs that live at the same time. */
const AT_ONCE = 3;
/** What a control plane may grow by after its first ten rounds, which fill its caches and heaps. */
const MAX_GROWTH_MIB = 24;
const WARM_ROUNDS = 10;

if (!(minutes > 0))
  throw new Error(`SOAK_MINUTES is ${process.env["SOAK_MINUTES"]}, not a number of minutes`);
const client = await connectCluster();
const namespace = await makeNamespace(client, "soak");
const guests = new Guests(client, namespace);
const started = Date.now();
const problems: string[] = [];
let warmMiB: number | undefined;
let rounds = 0;
try {
  while (Date.now() - started < minutes * MINUTE_MS && problems.length === 0) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => lifeOf(`vm-${i}`)));
    rounds++;
    const residentMiB = await controlPlaneMiB();
    if (rounds === WARM_ROUNDS) warmMiB = residentMiB;
    if (warmMiB !== undefined && residentMiB > warmMiB + MAX_GROWTH_MIB) {
      problems.push(
        `operator and agent grew from ${warmMiB} to ${residentMiB} MiB in ${rounds - WARM_ROUNDS} rounds`,
      );
    }
    const seconds = Math.round((Date.now() - started) / 1000);
    console.error(`${seconds} s: ${rounds * AT_ONCE} VMs, operator and agent ${residentMiB} MiB`);
  }
} catch (error) {
  problems.push(error instanceof Error ? error.message : String(error));
} finally {
  await removeNamespace(client, namespace);
  await client.close();
}
for (const problem of problems) console.log(`✖ ${problem}`);
console.log(`${problems.length === 0 ? rounds * AT_ONCE : 0} passed, ${problems.length} failed`);
process.exitCode = problems.length === 0 && rounds > 0 ? 0 : 1;

/** From created to a lease to gone without a trace. */
async function lifeOf(name: string): Promise<void> {
  await guests.create(name);
  const { pod } = await guests.answering(name);
  const traces = tracesOf(pod);
  await guests.remove(name);
  problems.push(...remainsOf(traces).map((remain) => `${namespace}/${name} left ${remain}`));
}

/** Resident memory of the operators and agents, in MiB. */
async function controlPlaneMiB(): Promise<number> {
  const { items } = await client
    .resource<Pod>(PODS)
    .namespace("virtpod")
    .list({ labelSelector: "app.kubernetes.io/name in (virtpod-operator, virtpod-agent)" });
  const processes = items.flatMap((pod) => processesOf(pod.metadata.uid));
  const kibibytes = processes.reduce((sum, { pid }) => {
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return sum + Number(resident ?? 0);
  }, 0);
  return Math.round(kibibytes / 1024);
}
