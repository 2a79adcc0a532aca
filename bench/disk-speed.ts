/**
 * Random reads and sequential writes of a guest, in a VM and under bare qemu in turns, on the same file where two
 * processes may have it open (raw), else on a copy of it beside (qcow2). The guest times itself.
 */
import { copyFile, mkdtemp, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { LAUNCHER_PATHS } from "../api/names.ts";
import {
  bootGuest,
  type Machine,
  network,
  prepareMachine,
  type RunningGuest,
} from "../images/guest-tiny/boot.ts";
import { cacheFolder } from "../images/layer.ts";
import type { Pod } from "../kube/resources.ts";
import { sleep } from "../lib/clock.ts";
import { ask, Guests } from "../test/harness/guest.ts";
import { createClaim, tinyWithDisks } from "../test/harness/storage.ts";
import type { BenchContext } from "./bench.ts";
import { median, rounded } from "./median.ts";
import { podProcesses } from "./pod-processes.ts";
import { freeze } from "./sabotage.ts";

export interface DiskSpeed {
  /** Median over the rounds of VM ÷ bare qemu, neighbours in time. */
  readonly randomReadRatio: number;
  readonly sequentialWriteRatio: number;
  /** Medians, 4 KiB each, one after the other. */
  readonly randomReadsPerSecond: Pair;
  readonly sequentialWriteMiBPerSecond: Pair;
}

interface Pair {
  readonly vm: number;
  readonly bare: number;
}

type LoadKind = "read" | "write";

interface Load {
  readonly requests: number;
  readonly bytes: number;
  readonly elapsedMs: number;
}

/** A disk of both guests, by the same serial number. */
interface Format {
  readonly serial: string;
  readonly title: string;
  readonly format: "raw" | "qcow2";
  /** Inside the launcher pod. */
  readonly path: string;
}

const NAME = "speed";
const SIZE_MIB = 128;
const LOAD_SECONDS = 1;
/** Short turns, many of them: whatever else the machine does then hits both alike. */
const ROUNDS_PER_RUN = 6;
const FILL_SECONDS = 6;
const MIB = 2 ** 20;
/** A control run's qemu stands still for this long in each load. */
const HARM_MS = 500;

const FORMATS: readonly Format[] = [
  {
    serial: "empty",
    title: "emptyDisk, qcow2",
    format: "qcow2",
    path: `${LAUNCHER_PATHS.volumes}/empty/disk.qcow2`,
  },
  {
    serial: "file",
    title: "PersistentVolumeClaim, Filesystem, raw",
    format: "raw",
    path: `${LAUNCHER_PATHS.volumes}/file/disk.img`,
  },
  {
    serial: "block",
    title: "PersistentVolumeClaim, Block",
    format: "raw",
    path: `${LAUNCHER_PATHS.devices}/block`,
  },
];

/** One guest, whichever qemu runs it. */
interface Subject {
  readonly load: (kind: LoadKind, serial: string, seconds: number) => Promise<Load>;
}

/** @returns by the format's title */
export async function measureSpeed(
  context: BenchContext,
  namespace: string,
): Promise<Record<string, DiskSpeed>> {
  const { client, progress } = context;
  const guests = new Guests(client, namespace);
  const folder = await mkdtemp(join(cacheFolder(), ".disk-speed-"));
  try {
    const machine = await prepareMachine();
    const { pod, address } = await startVm(guests);
    await using bare = await startBare(machine, pod, folder);
    const subjects = { vm: await vmSubject(address, pod, context.sabotage), bare: await bareSubject(bare) };
    const speeds: Record<string, DiskSpeed> = {};
    for (const { serial, title } of FORMATS) {
      speeds[title] = await measureFormat(subjects, serial, context);
      progress(`${title}: ${JSON.stringify(speeds[title])}`);
    }
    return speeds;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function startVm(guests: Guests): Promise<{ readonly pod: Pod; readonly address: string }> {
  const { client, namespace } = guests;
  // ext4's own tables take some of a claim, and the launcher makes disk.img as large as there is room for.
  await createClaim(client, namespace, "file", { size: `${SIZE_MIB}Mi` });
  await createClaim(client, namespace, "block", { size: `${SIZE_MIB}Mi`, volumeMode: "Block" });
  const claim = (claimName: string) => ({ name: claimName, persistentVolumeClaim: { claimName } });
  await guests.create(
    NAME,
    tinyWithDisks(
      [
        { volume: { name: "empty", emptyDisk: { capacity: `${SIZE_MIB}Mi` } } },
        { volume: claim("file") },
        { volume: claim("block") },
      ],
      // The CPU that bare qemu has; by default a vCPU requests a tenth, and other work on the node comes before it.
      { domain: { resources: { requests: { cpu: "1" } } } },
    ),
  );
  return guests.answering(NAME, 120_000);
}

/** As one would start it by hand for speed: no host cache, the kernel's own asynchronous I/O. */
async function startBare(machine: Machine, pod: Pod, folder: string): Promise<RunningGuest> {
  const qemu = podProcesses(pod.metadata.uid).find(({ program }) => program.startsWith("qemu-system"));
  if (qemu === undefined) throw new Error(`pod ${pod.metadata.name} runs no qemu on this machine`);
  const drives: string[] = [];
  for (const { serial, format, path } of FORMATS) {
    const inPod = `/proc/${qemu.pid}/root${path}`;
    const file = format === "raw" ? inPod : await copyBeside(inPod, join(folder, serial));
    drives.push(
      ...[
        "-drive",
        `file=${file},format=${format},if=none,id=${serial},cache=none,aio=native,file.locking=off`,
      ],
      ...["-device", `virtio-blk-pci,drive=${serial},serial=${serial}`],
    );
  }
  return bootGuest(machine, { devices: drives });
}

/** A file that only one qemu may write, on the same file system. @throws Error where that is another one */
async function copyBeside(file: string, copy: string): Promise<string> {
  // Nothing has been written to it yet: the guest only has looked for partitions.
  await copyFile(file, copy);
  const [there, here] = await Promise.all([stat(file), stat(copy)]);
  if (there.dev !== here.dev) {
    throw new Error(
      `${copy} is not on the file system of the node's volumes: their speeds say nothing together`,
    );
  }
  return copy;
}

async function vmSubject(address: string, pod: Pod, sabotage: boolean): Promise<Subject> {
  const names = await diskNames(() => ask(address, "/disks"));
  return {
    load: async (kind, serial, seconds) => {
      const load = ask<Load>(address, loadPath(kind, names.get(serial), seconds));
      if (sabotage) {
        await sleep(HARM_MS);
        freeze(pod, /^qemu-system/, HARM_MS);
      }
      return load;
    },
  };
}

async function bareSubject(guest: RunningGuest): Promise<Subject> {
  await guest.line(new RegExp(`lease ip=${network.address}`));
  const names = await diskNames(() => guest.fetch("/disks"));
  return {
    load: async (kind, serial, seconds) =>
      checked(await guest.fetch(loadPath(kind, names.get(serial), seconds))),
  };
}

/** Names in the guest by serial number, once it has them all: its drivers come after its network. */
async function diskNames(list: () => Promise<unknown>): Promise<ReadonlyMap<string, string>> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const disks = (await list()) as readonly { readonly name: string; readonly serial: string }[];
    if (disks.length >= FORMATS.length) return new Map(disks.map(({ name, serial }) => [serial, name]));
    if (Date.now() > deadline) throw new Error(`the guest has only the disks ${JSON.stringify(disks)}`);
    await sleep(200);
  }
}

const loadPath = (kind: LoadKind, name = "", seconds: number) =>
  `/disk-load?dev=${name}&kind=${kind}&seconds=${seconds}`;

function checked(answer: unknown): Load {
  if (typeof (answer as Load).elapsedMs !== "number")
    throw new Error(`the guest says ${JSON.stringify(answer)}`);
  return answer as Load;
}

async function measureFormat(
  { vm, bare }: { readonly vm: Subject; readonly bare: Subject },
  serial: string,
  { runs }: BenchContext,
): Promise<DiskSpeed> {
  // Every block is there afterwards, so that no round pays for making room.
  for (const subject of [vm, bare]) await fill(subject, serial);
  const rounds = { read: [] as Pair[], write: [] as Pair[] };
  for (let round = 0; round < runs * ROUNDS_PER_RUN; round++) {
    for (const kind of ["read", "write"] as const) {
      // Whoever is first in one round is second in the next.
      const order = round % 2 === 0 ? [vm, bare] : [bare, vm];
      const speeds = new Map<Subject, number>();
      for (const subject of order)
        speeds.set(subject, speedOf(kind, await subject.load(kind, serial, LOAD_SECONDS)));
      rounds[kind].push({ vm: speeds.get(vm) ?? Number.NaN, bare: speeds.get(bare) ?? Number.NaN });
    }
  }
  return {
    randomReadRatio: ratio(rounds.read),
    sequentialWriteRatio: ratio(rounds.write),
    randomReadsPerSecond: medians(rounds.read),
    sequentialWriteMiBPerSecond: medians(rounds.write),
  };
}

async function fill({ load }: Subject, serial: string): Promise<void> {
  const { requests } = await load("write", serial, FILL_SECONDS);
  if (requests < SIZE_MIB)
    throw new Error(
      `disk ${serial} takes ${requests} MiB in ${FILL_SECONDS} s, never all of its ${SIZE_MIB}`,
    );
}

function speedOf(kind: LoadKind, { requests, bytes, elapsedMs }: Load): number {
  return ((kind === "read" ? requests : bytes / MIB) * 1000) / elapsedMs;
}

function ratio(pairs: readonly Pair[]): number {
  return rounded(median(pairs.map(({ vm, bare }) => vm / bare)), 3);
}

function medians(pairs: readonly Pair[]): Pair {
  return {
    vm: rounded(median(pairs.map(({ vm }) => vm)), 0),
    bare: rounded(median(pairs.map(({ bare }) => bare)), 0),
  };
}
