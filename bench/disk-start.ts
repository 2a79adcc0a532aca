/** What disks add to a VM's start, and what a containerDisk has written before its guest runs. */
import type { Pod } from "../kube/resources.ts";
import { VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { untilGone } from "../test/harness/cluster.ts";
import { capture } from "../test/harness/command.ts";
import { type Changes, Guests } from "../test/harness/guest.ts";
import { DEBIAN_IMAGE, type GuestDisk, loadDebianImage, tinyWithDisks } from "../test/harness/storage.ts";
import { Observer } from "../test/harness/timeline.ts";
import type { BenchContext } from "./bench.ts";
import { programPods } from "./deployment.ts";
import { median, rounded } from "./median.ts";
import { bytesWritten, podProcesses } from "./pod-processes.ts";
import { freeze } from "./sabotage.ts";

export interface DiskStarts {
  /** By the launcher pod of a VM whose containerDisk holds 2 GiB, before its guest's first instruction. */
  readonly containerDiskBytesWritten: number;
  /** Create request → phase Running, that of a VM that boots a kernel subtracted; medians. */
  readonly containerDiskStartAddsMs: number;
  /** As containerDiskStartAddsMs, of a VM that boots a kernel and has ten emptyDisks besides. */
  readonly tenDisksStartAddsMs: number;
  /** The medians themselves. */
  readonly startMs: Readonly<Record<Kind, number>>;
}

type Kind = "kernelBoot" | "containerDisk" | "tenDisks";

const START_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 60_000;
/** A control run's harm: a start held up, and a disk that was copied in part. */
const HARM_MS = 2000;
const HARM_MIB = 4;

const containerDisk: GuestDisk = { volume: { name: "root", containerDisk: { image: DEBIAN_IMAGE } } };
const tenDisks: readonly GuestDisk[] = Array.from({ length: 10 }, (_, index) => ({
  volume: { name: `disk-${index}`, emptyDisk: { capacity: "1Gi" } },
}));

/** A guest is ended as soon as it has started, so none is waited for. */
const spec = { terminationGracePeriodSeconds: 1 };
const MACHINES: Readonly<Record<Kind, Changes>> = {
  kernelBoot: tinyWithDisks([], { spec }),
  containerDisk: tinyWithDisks([containerDisk], { spec, domain: { firmware: {} } }),
  tenDisks: tinyWithDisks(tenDisks, { spec }),
};

export async function measureStarts(context: BenchContext, namespace: string): Promise<DiskStarts> {
  const { client, progress, runs } = context;
  loadDebianImage();
  const guests = new Guests(client, namespace);
  const containerDiskBytesWritten = await writtenBeforeTheGuest(guests, context.sabotage);
  progress(`a containerDisk of 2 GiB: ${containerDiskBytesWritten} bytes written`);
  const samples: Record<Kind, number[]> = { kernelBoot: [], containerDisk: [], tenDisks: [] };
  for (let run = 0; run < runs; run++) {
    for (const kind of ["kernelBoot", "containerDisk", "tenDisks"] as const) {
      samples[kind].push(await startMs(context, guests, kind, `${kind.toLowerCase()}-${run}`));
    }
    progress(`start ${run + 1}/${runs}: ${JSON.stringify(lasts(samples))}`);
  }
  const medians = mapped(samples, (times) => rounded(median(times), 0));
  return {
    containerDiskBytesWritten,
    containerDiskStartAddsMs: medians.containerDisk - medians.kernelBoot,
    tenDisksStartAddsMs: medians.tenDisks - medians.kernelBoot,
    startMs: medians,
  };
}

async function startMs(context: BenchContext, guests: Guests, kind: Kind, name: string): Promise<number> {
  const observer = await Observer.start(guests.client, guests.namespace, name);
  try {
    const createdMs = Date.now();
    await guests.create(name, MACHINES[kind]);
    if (context.sabotage && kind !== "kernelBoot") {
      for (const pod of await programPods(context.client, "agent")) freeze(pod, /^node$/, HARM_MS);
    }
    const startedMs = await observer.until("domainStarted", START_TIMEOUT_MS);
    await end(guests, name);
    return startedMs - createdMs;
  } finally {
    observer.close();
  }
}

/** Its VMI goes last, once no pod is left: the next start has the node to itself. */
async function end({ client, namespace }: Guests, name: string): Promise<void> {
  await client
    .resource(VIRTUAL_MACHINES)
    .namespace(namespace)
    .delete(name, { propagationPolicy: "Background" });
  await untilGone(client, VIRTUAL_MACHINE_INSTANCES, { namespace, name, timeoutMs: END_TIMEOUT_MS });
}

/** A guest that starts paused has written nothing, so whatever its pod has written was to prepare its disk. */
async function writtenBeforeTheGuest(guests: Guests, sabotage: boolean): Promise<number> {
  const name = "paused";
  await guests.create(
    name,
    tinyWithDisks([containerDisk], {
      spec: { ...spec, startStrategy: "Paused" },
      domain: { firmware: {} },
    }),
  );
  await guests.untilVmi(name, "a paused guest", START_TIMEOUT_MS, ({ status }) =>
    (status?.conditions ?? []).some(({ type, status: is }) => type === "Paused" && is === "True"),
  );
  const pod = await guests.pod(name);
  if (sabotage) copyInto(pod);
  // Writes are counted where they are made; files are looked at as well, should somebody else write them.
  const bytes = Math.max(
    podProcesses(pod.metadata.uid).reduce((sum, process) => sum + bytesWritten(process), 0),
    bytesKept(pod),
  );
  await end(guests, name);
  return bytes;
}

const volumesOf = (pod: Pod) => `/var/lib/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~empty-dir`;

/** On the node's disk, in the pod's emptyDirs; those in memory are other file systems. */
function bytesKept(pod: Pod): number {
  const text = capture("./cluster/enter", [
    "du",
    "--summarize",
    "--one-file-system",
    "--block-size=1",
    volumesOf(pod),
  ]);
  return Number(text.split("\t")[0]);
}

function copyInto(pod: Pod): void {
  const file = `${volumesOf(pod)}/scratch/harm`;
  capture("./cluster/enter", ["dd", "if=/dev/zero", `of=${file}`, "bs=1M", `count=${HARM_MIB}`]);
}

function mapped<T, U>(record: Readonly<Record<Kind, T>>, map: (value: T) => U): Record<Kind, U> {
  const { kernelBoot, containerDisk: container, tenDisks: ten } = record;
  return { kernelBoot: map(kernelBoot), containerDisk: map(container), tenDisks: map(ten) };
}

const lasts = (samples: Readonly<Record<Kind, readonly number[]>>) =>
  mapped(samples, (times) => times.at(-1));
