/**
 * `make soak`: VMs come and go for SOAK_MINUTES (60), each until its guest has its address, and SOAK_CRASHES (50)
 * guests are killed while they write; ends with 1 when a guest does not come, when one leaves something behind or
 * loses what it wrote, or when operator or agent keep growing.
 */
import { readFileSync } from "node:fs";
import { PODS, type Pod } from "../kube/resources.ts";
import { endure } from "./faults/endurance.ts";
import { connectCluster, makeNamespace, removeNamespace } from "./harness/cluster.ts";
import { surviveCrashes } from "./harness/crash.ts";
import { Guests } from "./harness/guest.ts";
import { processesOf, remainsOf, tracesOf } from "./harness/node.ts";

const MINUTE_MS = 60_000;
const minutes = Number(process.env["SOAK_MINUTES"] ?? "60");
const crashes = Number(process.env["SOAK_CRASHES"] ?? "50");
/** VMs that live at the same time. */
const AT_ONCE = 3;
/** What a control plane may grow by after its first ten rounds, which fill its caches and heaps. */
const MAX_GROWTH_MIB = 24;
const WARM_ROUNDS = 10;

if (!(minutes > 0))
  throw new Error(`SOAK_MINUTES is ${process.env["SOAK_MINUTES"]}, not a number of minutes`);
if (!Number.isInteger(crashes) || crashes < 0)
  throw new Error(`SOAK_CRASHES is ${process.env["SOAK_CRASHES"]}, not a number of crashes`);
const client = await connectCluster();
const namespace = await makeNamespace(client, "soak");
const guests = new Guests(client, namespace);
const started = Date.now();
const endsMs = started + minutes * MINUTE_MS;
const halfMs = started + (minutes * MINUTE_MS) / 2;
const problems: string[] = [];
let warmMiB: number | undefined;
let rounds = 0;
let survived = 0;
try {
  while (Date.now() < halfMs && problems.length === 0) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => lifeOf(`vm-${i}`)));
    rounds++;
    const residentMiB = await controlPlaneMiB();
    if (rounds === WARM_ROUNDS) warmMiB = residentMiB;
    if (warmMiB !== undefined && residentMiB > warmMiB + MAX_GROWTH_MIB) {
      problems.push(
        `operator and agent grew from ${warmMiB} to ${residentMiB} MiB in ${rounds - WARM_ROUNDS} rounds`,
      );
    }
    tell(`${rounds * AT_ONCE} VMs, operator and agent ${residentMiB} MiB`);
  }
  if (problems.length === 0) await surviveCrashes(guests, "Filesystem", crashes);
} catch (error) {
  problems.push(error instanceof Error ? error.message : String(error));
} finally {
  await removeNamespace(client, namespace);
  await client.close();
}
if (problems.length === 0) {
  try {
    survived = await endure({ untilMs: endsMs, tell });
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
}
for (const problem of problems) console.log(`✖ ${problem}`);
const passed = problems.length === 0 ? rounds * AT_ONCE + crashes : 0;
console.log(`${passed} passed, ${problems.length} failed`);
process.exitCode = problems.length === 0 && rounds > 0 && survived > 0 ? 0 : 1;

function tell(line: string): void {
  console.error(`${Math.round((Date.now() - started) / 1000)} s: ${line}`);
}

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
