/**
 * The memory of a launcher pod beside its guest's: private dirty pages of every process in the pod's cgroup, its
 * sandbox included, as the kernel tells them in smaps. The guest's own RAM is left out, TCG's cache told apart.
 */
import type { Client } from "../kube/client.ts";
import { PODS, type Pod } from "../kube/resources.ts";
import { sleep } from "../lib/clock.ts";
import { parseQuantity } from "../lib/quantity.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { TCG_CACHE_BYTES } from "../operator/vmi/memory.ts";
import { makeNamespace, removeNamespace, untilGone } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { createMachine } from "../test/harness/machine.ts";
import { Observer } from "../test/harness/timeline.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { programPods } from "./deployment.ts";
import { median, rounded } from "./median.ts";
import { mappingsOf, podProcesses, residentKiB } from "./pod-processes.ts";
import { addBallast } from "./sabotage.ts";
import { privateDirtyKiB, splitQemu } from "./smaps.ts";

/** Medians over the pods measured. */
export interface LauncherFootprint {
  readonly guestMiB: number;
  /** Whole pod, guest RAM left out. */
  readonly launcherPrivateDirtyMiB: number;
  /** TCG's translation cache, contained in the figure before. */
  readonly tcgCacheMiB: number;
  /** By program; the sum is launcherPrivateDirtyMiB. */
  readonly perProcess: Readonly<Record<string, number>>;
  /** Every program but qemu. */
  readonly besideQemuMiB: number;
  readonly containers: number;
  readonly initContainers: number;
  readonly requestedMemoryMiB: number;
}

export interface FootprintReport extends LauncherFootprint {
  /** The larger of the operator's replicas, before and after the VMs ran. */
  readonly operatorResidentMiB: number;
  readonly agentResidentMiB: number;
  readonly at256: LauncherFootprint;
}

const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;
/** From the lease to the measurement: what start alone needs has been used, and the guest is idle. */
const REST_MS = 10_000;
const PODS_PER_SIZE = 3;
const BALLAST_MIB = 128;
const KIB_PER_MIB = 1024;
const BYTES_PER_MIB = 1024 * 1024;
const QEMU = "qemu-system-x86_64";

export const footprint: Bench<FootprintReport> = {
  name: "footprint",
  promises: [
    {
      name: "launcher pod beside guest and TCG's cache",
      atMost: 80,
      unit: "MiB",
      figure: ({ launcherPrivateDirtyMiB, tcgCacheMiB }) => launcherPrivateDirtyMiB - tcgCacheMiB,
    },
    {
      name: "the same at 256 MiB",
      atMost: 80,
      unit: "MiB",
      figure: ({ at256 }) => at256.launcherPrivateDirtyMiB - at256.tcgCacheMiB,
    },
    {
      name: "requested beside guest and TCG's cache",
      atMost: 110,
      unit: "MiB",
      figure: ({ requestedMemoryMiB, guestMiB, tcgCacheMiB }) =>
        requestedMemoryMiB - guestMiB - (tcgCacheMiB > 0 ? TCG_CACHE_BYTES / BYTES_PER_MIB : 0),
    },
    { name: "containers", atMost: 1, unit: "", figure: (report) => report.containers },
    { name: "init containers", atMost: 0, unit: "", figure: (report) => report.initContainers },
    {
      name: "operator and agent",
      atMost: 200,
      unit: "MiB",
      figure: (report) => report.operatorResidentMiB + report.agentResidentMiB,
    },
  ],
  run,
};

async function run(context: BenchContext): Promise<FootprintReport> {
  const { client, progress, sabotage } = context;
  const namespace = await makeNamespace(client, "bench-footprint");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const before = await controlPlane(client);
  progress(`idle: operator ${before.operatorMiB} MiB, agent ${before.agentMiB} MiB resident`);
  const at128 = await launchers(context, namespace, 128);
  const at256 = await launchers(context, namespace, 256);
  const disturbed = sabotage ? await ballastedOperator(client) : undefined;
  const after = await controlPlane(client);
  await disturbed?.();
  return {
    ...at128,
    operatorResidentMiB: Math.max(before.operatorMiB, after.operatorMiB),
    agentResidentMiB: Math.max(before.agentMiB, after.agentMiB),
    at256,
  };
}

async function controlPlane(client: Client): Promise<{ operatorMiB: number; agentMiB: number }> {
  const largest = async (program: "operator" | "agent") =>
    Math.max(...(await programPods(client, program)).map(residentMiB));
  return { operatorMiB: await largest("operator"), agentMiB: await largest("agent") };
}

/** Resident memory of a pod's own processes; the sandbox's is the runtime's. */
function residentMiB(pod: Pod): number {
  const processes = podProcesses(pod.metadata.uid).filter(({ program }) => program !== "pause");
  if (processes.length === 0) throw new Error(`pod ${pod.metadata.name} has no process on this machine`);
  return rounded(processes.reduce((sum, one) => sum + residentKiB(one), 0) / KIB_PER_MIB, 1);
}

async function launchers(
  context: BenchContext,
  namespace: string,
  guestMiB: number,
): Promise<LauncherFootprint> {
  const samples: LauncherFootprint[] = [];
  for (let index = 0; index < PODS_PER_SIZE; index++) {
    const sample = await launcher(context, namespace, `vm-${guestMiB}-${index}`, guestMiB);
    context.progress(`${guestMiB} MiB guest: ${JSON.stringify(sample.perProcess)}`);
    samples.push(sample);
  }
  return medianFootprint(samples);
}

async function launcher(
  context: BenchContext,
  namespace: string,
  name: string,
  guestMiB: number,
): Promise<LauncherFootprint> {
  const { client, sabotage } = context;
  const observer = await Observer.start(client, namespace, name);
  try {
    const greed = sabotage ? { requestedMiB: guestMiB + BALLAST_MIB } : {};
    await createMachine(client, { namespace, name, memoryMiB: guestMiB, ...greed });
    await observer.until("lease", START_TIMEOUT_MS);
    const started = observer.pod;
    if (started === undefined) throw new Error(`VM ${namespace}/${name} has a lease and no launcher pod`);
    const image = started.spec.containers[0]?.image ?? "";
    const pod = sabotage ? await addBallast(client, started, image, BALLAST_MIB) : started;
    await sleep(REST_MS);
    return { guestMiB, ...memoryOf(pod, guestMiB), ...requestOf(pod) };
  } finally {
    observer.close();
    await client.resource(VIRTUAL_MACHINES).namespace(namespace).delete(name);
    await untilGone(client, VIRTUAL_MACHINES, { namespace, name, timeoutMs: END_TIMEOUT_MS });
  }
}

function memoryOf(pod: Pod, guestMiB: number) {
  const perProcessKiB: Record<string, number> = {};
  let tcgCacheKiB = 0;
  for (const one of podProcesses(pod.metadata.uid)) {
    const mappings = mappingsOf(one);
    let ownKiB = privateDirtyKiB(mappings);
    if (one.program === QEMU) {
      const qemu = splitQemu(mappings, guestMiB);
      ownKiB = qemu.tcgCacheKiB + qemu.restKiB;
      tcgCacheKiB += qemu.tcgCacheKiB;
    }
    perProcessKiB[one.program] = (perProcessKiB[one.program] ?? 0) + ownKiB;
  }
  const qemuKiB = perProcessKiB[QEMU];
  if (qemuKiB === undefined) throw new Error(`pod ${pod.metadata.name} has no ${QEMU} on this machine`);
  const sumKiB = Object.values(perProcessKiB).reduce((sum, kiB) => sum + kiB, 0);
  return {
    launcherPrivateDirtyMiB: mebibytes(sumKiB),
    tcgCacheMiB: mebibytes(tcgCacheKiB),
    perProcess: Object.fromEntries(
      Object.entries(perProcessKiB).map(([program, kiB]) => [program, mebibytes(kiB)]),
    ),
    besideQemuMiB: mebibytes(sumKiB - qemuKiB),
  };
}

/** Containers that were added to the running pod are containers too. */
function requestOf({ spec }: Pod) {
  const { containers, initContainers = [] } = spec;
  const { ephemeralContainers = [] } = spec as { ephemeralContainers?: readonly object[] };
  const bytes = containers.reduce(
    (sum, { resources }) => sum + parseQuantity(resources?.requests?.["memory"] ?? "0"),
    0,
  );
  return {
    containers: containers.length + ephemeralContainers.length,
    initContainers: initContainers.length,
    requestedMemoryMiB: rounded(bytes / BYTES_PER_MIB, 1),
  };
}

function medianFootprint(samples: readonly LauncherFootprint[]): LauncherFootprint {
  const of = (figure: (sample: LauncherFootprint) => number) => rounded(median(samples.map(figure)), 1);
  const programs = new Set(samples.flatMap(({ perProcess }) => Object.keys(perProcess)));
  return {
    guestMiB: of(({ guestMiB }) => guestMiB),
    launcherPrivateDirtyMiB: of(({ launcherPrivateDirtyMiB }) => launcherPrivateDirtyMiB),
    tcgCacheMiB: of(({ tcgCacheMiB }) => tcgCacheMiB),
    perProcess: Object.fromEntries(
      [...programs].map((program) => [program, of(({ perProcess }) => perProcess[program] ?? 0)]),
    ),
    besideQemuMiB: of(({ besideQemuMiB }) => besideQemuMiB),
    containers: of(({ containers }) => containers),
    initContainers: of(({ initContainers }) => initContainers),
    requestedMemoryMiB: of(({ requestedMemoryMiB }) => requestedMemoryMiB),
  };
}

/** Fattens one operator; the answer takes the fattened pod away, for a container can't be taken out of a pod. */
async function ballastedOperator(client: Client): Promise<() => Promise<unknown>> {
  const [pod] = await programPods(client, "operator");
  if (pod === undefined) throw new Error("there is no operator to fatten");
  await addBallast(client, pod, pod.spec.containers[0]?.image ?? "", BALLAST_MIB);
  return () => client.resource(PODS).namespace(pod.metadata.namespace).delete(pod.metadata.name);
}

function mebibytes(kiB: number): number {
  return rounded(kiB / KIB_PER_MIB, 1);
}
