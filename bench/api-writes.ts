/**
 * What the operator writes to the API server: per VM from its creation until it runs and nothing more follows, and
 * in a minute in which nothing changes. Counted in the API server's own audit log, by the operator's user agent.
 */
import { sleep } from "../lib/clock.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { launcherPods, makeNamespace, removeNamespace, until, untilLogged } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { LEASE } from "../test/harness/log.ts";
import { createMachine } from "../test/harness/machine.ts";
import { type AuditEvent, countWrites } from "./audit-log.ts";
import { AuditLogReader, auditLogPath } from "./audit-log-reader.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { NAMESPACE } from "./deployment.ts";
import { rounded } from "./median.ts";

export interface ApiWritesReport {
  readonly vms: number;
  /** Writes of objects, failed ones included; events, leases and reviews left out. */
  readonly writesPerVM: number;
  /** Per VM, as `"patch virtualmachines/status"`. */
  readonly writesByVerbAndResource: Readonly<Record<string, number>>;
  readonly eventsPerVM: number;
  /** Of the writes, those answered with an error. */
  readonly failedPerVM: number;
  /** Writes and events while the VMs run and nothing changes; leases apart. */
  readonly idleWritesPerMinute: number;
  readonly idleWritesByVerbAndResource: Readonly<Record<string, number>>;
}

const USER_AGENT = "virtpod-operator/";
const VMS = 10;
const START_TIMEOUT_MS = 300_000;
/** After the last guest's lease, what still follows belongs to the start. */
const REST_MS = 15_000;
const IDLE_MS = 60_000;
/** Wrong statuses that a control run writes per VM, for the operator to put right. */
const DISTURBANCES = 8;

export const apiWrites: Bench<ApiWritesReport> = {
  name: "api-writes",
  promises: [
    { name: "writes per VM", atMost: 7, unit: "", figure: (report) => report.writesPerVM },
    { name: "idle writes per minute", atMost: 0, unit: "", figure: (report) => report.idleWritesPerMinute },
  ],
  run,
};

async function run(context: BenchContext): Promise<ApiWritesReport> {
  const { client, progress, sabotage } = context;
  const log = new AuditLogReader(client, auditLogPath());
  const namespace = await makeNamespace(client, "bench-writes");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const names = Array.from({ length: VMS }, (_, index) => `vm-${index}`);
  const created = await log.mark();
  await Promise.all(names.map((name) => createMachine(client, { namespace, name })));
  for (const name of names) await untilRunning(context, namespace, name);
  for (const name of names) await untilLeased(context, namespace, name);
  progress(`${VMS} VMs run and have their leases`);
  if (sabotage) for (const name of names) await disturb(context, namespace, name, DISTURBANCES);
  await sleep(REST_MS);
  const settled = await log.mark();
  progress(`nothing changes for ${IDLE_MS / 1000} s`);
  if (sabotage) await disturb(context, namespace, names[0] ?? "", 1);
  await sleep(IDLE_MS);
  const idled = await log.mark();
  // What the operator does for VMs of other namespaces meanwhile is not this run's.
  const isOurs = (event: AuditEvent) => [namespace, NAMESPACE, ""].includes(event.namespace);
  const starts = countWrites((await log.between(created, settled)).filter(isOurs), USER_AGENT);
  const idle = countWrites((await log.between(settled, idled)).filter(isOurs), USER_AGENT);
  if (starts.writes === 0) throw new Error(`the audit log has no write by ${USER_AGENT}*`);
  return {
    vms: VMS,
    writesPerVM: rounded(starts.writes / VMS),
    writesByVerbAndResource: Object.fromEntries(
      Object.entries(starts.byVerbAndResource).map(([key, count]) => [key, rounded(count / VMS)]),
    ),
    eventsPerVM: rounded(starts.events / VMS),
    failedPerVM: rounded(starts.failed / VMS),
    idleWritesPerMinute: rounded((idle.writes + idle.events) / (IDLE_MS / 60_000)),
    idleWritesByVerbAndResource: idle.byVerbAndResource,
  };
}

async function untilRunning({ client }: BenchContext, namespace: string, name: string): Promise<void> {
  await until(client, VIRTUAL_MACHINES, {
    namespace,
    name,
    what: "printableStatus Running",
    timeoutMs: START_TIMEOUT_MS,
    when: (vm) => vm?.status?.printableStatus === "Running",
  });
}

async function untilLeased({ client }: BenchContext, namespace: string, name: string): Promise<void> {
  const [pod] = await launcherPods(client, namespace, name);
  if (pod === undefined) throw new Error(`VM ${namespace}/${name} runs and has no launcher pod`);
  await untilLogged(client, { namespace, name: pod.metadata.name }, LEASE, START_TIMEOUT_MS);
}

/** Writes wrong node names, as a second writer of status would, and waits each time for the operator to put it right. */
async function disturb(
  { client }: BenchContext,
  namespace: string,
  name: string,
  times: number,
): Promise<void> {
  const vmis = client.resource(VIRTUAL_MACHINE_INSTANCES).namespace(namespace);
  for (let index = 0; index < times; index++) {
    await vmis.patch(
      name,
      { type: "merge", body: { status: { nodeName: `nowhere-${index}` } } },
      { subresource: "status" },
    );
    await until(client, VIRTUAL_MACHINE_INSTANCES, {
      namespace,
      name,
      what: "the node's name put right",
      timeoutMs: 30_000,
      when: (vmi) => !vmi?.status?.nodeName?.startsWith("nowhere-"),
    });
  }
}
