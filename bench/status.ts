/**
 * How soon a VM's status tells what happened: from a user's or the guest's change to what a watch of the VM is told.
 * And how soon a VM that was stopped has its lease again, beside one that is made anew.
 */
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { makeNamespace, removeNamespace, untilGone } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { createMachine } from "../test/harness/machine.ts";
import { Observer } from "../test/harness/timeline.ts";
import { countWrites } from "./audit-log.ts";
import { AuditLogReader, auditLogPath } from "./audit-log-reader.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { programPods } from "./deployment.ts";
import { median, percentile, rounded } from "./median.ts";
import { freeze } from "./sabotage.ts";
import { type Change, StatusMachine } from "./status-machine.ts";
import { VmWatch } from "./vm-watch.ts";

export interface StatusReport {
  readonly changes: number;
  /** From the change to the watch's word of it. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Writes of objects by the operator, failed ones included, events apart. */
  readonly writesPerChange: number;
  readonly byKind: Readonly<
    Record<string, { readonly changes: number; readonly p50Ms: number; readonly maxMs: number }>
  >;
  /** Start request of a stopped VM, whose pod has gone → lease, and create request of a new one → lease, in turns. */
  readonly restartLeaseSeconds: number;
  readonly createLeaseSeconds: number;
  readonly restartExtraSeconds: number;
}

const USER_AGENT = "virtpod-operator/";
/** With as many runs as other benchmarks have by default; fewer runs measure as many fewer. */
const CHANGES = 200;
const DEFAULT_RUNS = 7;
const NAME = "changing";
const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;
/** How long a control run holds up the operator at a change, and the agent at a start. */
const CHANGE_HARM_MS = 1_500;
const START_HARM_MS = 3_000;

export const status: Bench<StatusReport> = {
  name: "status",
  promises: [
    { name: "change told, p99", atMost: 1000, unit: "ms", figure: (report) => report.p99Ms },
    {
      name: "restart beyond a start",
      atMost: 0.3,
      unit: "s",
      figure: (report) => report.restartExtraSeconds,
    },
  ],
  run,
};

async function run(context: BenchContext): Promise<StatusReport> {
  const { client, progress, runs } = context;
  const namespace = await makeNamespace(client, "bench-status");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const log = new AuditLogReader(client, auditLogPath());
  const began = await log.mark();
  const changes = await changesOf(context, namespace, Math.ceil((CHANGES * runs) / DEFAULT_RUNS));
  const ended = await log.mark();
  const isOurs = (event: { readonly namespace: string }) => event.namespace === namespace;
  const { writes } = countWrites((await log.between(began, ended)).filter(isOurs), USER_AGENT);
  if (writes === 0) throw new Error(`the audit log has no write by ${USER_AGENT}*`);
  const leases = await leasesOf(context, namespace);
  progress(`${changes.length} changes, ${writes} writes`);
  return report(changes, writes, leases);
}

/** In rounds of one start and one end each, with everything that happens to a running VM in between. */
async function changesOf(context: BenchContext, namespace: string, count: number): Promise<Change[]> {
  const { client, progress } = context;
  const watch = await VmWatch.open(client, namespace);
  const changes: Change[] = [];
  const make = async (change: () => Promise<Change | readonly Change[]>) => {
    changes.push(...[await change()].flat());
  };
  try {
    const machine = new StatusMachine(NAME, watch, client, namespace);
    await createMachine(client, { namespace, name: NAME });
    for (let round = 0; changes.length < count; round++) {
      await make(() => machine.runs());
      await machine.answers();
      for (let times = 0; times < 3; times++) {
        await make(() => machine.pauses());
        await make(() => machine.unpauses());
      }
      // About one change in ten: far more than one in a hundred.
      if (context.sabotage) await holdUpOperators(context);
      await make(() => machine.edits());
      await make(() => machine.editsBack());
      const ends = [
        () => machine.stopsAndEnds(),
        () => machine.panics(),
        () => machine.powersOff(),
        () => machine.qemuDies(),
      ];
      const end = ends[round % ends.length] ?? ends[0];
      if (end !== undefined) await make(end);
      // After a power-off, Always has started the next by itself.
      if (round % ends.length !== 2) await make(() => machine.starts());
      progress(
        `round ${round + 1}: ${changes.length} of ${count} changes, the last in ${changes.at(-1)?.toldMs} ms`,
      );
    }
    return changes;
  } finally {
    watch.close();
    await remove(context, namespace, NAME);
  }
}

interface Leases {
  readonly restartMs: readonly number[];
  readonly createMs: readonly number[];
}

/** One VM is stopped and started, others are made and deleted, in turns: what the machine does meanwhile meets both. */
async function leasesOf(context: BenchContext, namespace: string): Promise<Leases> {
  const { client, progress, runs } = context;
  const vms = client.resource(VIRTUAL_MACHINES).namespace(namespace);
  const watch = await VmWatch.open(client, namespace);
  const machine = new StatusMachine("restarted", watch, client, namespace);
  const restartMs: number[] = [];
  const createMs: number[] = [];
  try {
    await leaseMs(context, namespace, "restarted", () =>
      createMachine(client, { namespace, name: "restarted" }),
    );
    for (let index = 0; index < runs; index++) {
      const name = `new-${index}`;
      createMs.push(
        await leaseMs(context, namespace, name, () => createMachine(client, { namespace, name })),
      );
      await vms.delete(name);
      await untilGone(client, VIRTUAL_MACHINES, { namespace, name, timeoutMs: END_TIMEOUT_MS });
      await machine.stopsAndEnds();
      await machine.isCleared();
      const harm = context.sabotage ? holdUpAgents(context) : undefined;
      restartMs.push(await leaseMs(context, namespace, "restarted", () => machine.starts()));
      await harm;
      progress(`lease after a create ${createMs.at(-1)} ms, after a stop and a start ${restartMs.at(-1)} ms`);
    }
    return { restartMs, createMs };
  } finally {
    watch.close();
    await remove(context, namespace, "restarted");
  }
}

async function leaseMs(
  { client }: BenchContext,
  namespace: string,
  name: string,
  begin: () => Promise<unknown>,
): Promise<number> {
  const observer = await Observer.start(client, namespace, name);
  try {
    const begunMs = Date.now();
    await begin();
    return (await observer.until("lease", START_TIMEOUT_MS)) - begunMs;
  } finally {
    observer.close();
  }
}

async function remove({ client }: BenchContext, namespace: string, name: string): Promise<void> {
  await client.resource(VIRTUAL_MACHINES).namespace(namespace).delete(name);
  await untilGone(client, VIRTUAL_MACHINES, { namespace, name, timeoutMs: END_TIMEOUT_MS });
}

async function holdUpOperators({ client }: BenchContext): Promise<void> {
  for (const pod of await programPods(client, "operator")) freeze(pod, /^node$/, CHANGE_HARM_MS);
}

async function holdUpAgents({ client }: BenchContext): Promise<void> {
  for (const pod of await programPods(client, "agent")) freeze(pod, /^node$/, START_HARM_MS);
}

function report(changes: readonly Change[], writes: number, { restartMs, createMs }: Leases): StatusReport {
  const all = changes.map(({ toldMs }) => toldMs);
  const kinds = [...new Set(changes.map(({ kind }) => kind))];
  const restartLeaseSeconds = rounded(median(restartMs) / 1000);
  const createLeaseSeconds = rounded(median(createMs) / 1000);
  return {
    changes: changes.length,
    p50Ms: rounded(percentile(all, 50), 0),
    p99Ms: rounded(percentile(all, 99), 0),
    writesPerChange: rounded(writes / changes.length),
    byKind: Object.fromEntries(
      kinds.map((kind) => {
        const told = changes.filter((change) => change.kind === kind).map(({ toldMs }) => toldMs);
        const figures = { p50Ms: rounded(percentile(told, 50), 0), maxMs: rounded(Math.max(...told), 0) };
        return [kind, { changes: told.length, ...figures }];
      }),
    ),
    restartLeaseSeconds,
    createLeaseSeconds,
    restartExtraSeconds: rounded(restartLeaseSeconds - createLeaseSeconds),
  };
}
