/** Cgroups of pods on this machine's own tree, in a folder of the run's, of whichever version it has; for tests, root. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../../lib/clock.ts";
import type { Bandwidth, Level, PodBandwidth } from "./bandwidth.ts";
import { cpuCgroup } from "./cgroup.ts";
import type { CgroupVersion } from "./location.ts";

/** Where the machine's cgroups are mounted. */
export const CGROUP_ROOT = "/sys/fs/cgroup";
export const VERSION: CgroupVersion = existsSync(join(CGROUP_ROOT, "cgroup.controllers")) ? 2 : 1;
/** The hierarchies that are used here; cgroup v2 has one without a name. */
export const HIERARCHIES = VERSION === 2 ? [""] : ["cpu", "cpuacct", "memory"];
/** The run's folder ends with its process's number, and what tells its labs apart. */
const FOLDER = /^virtpod-test-(\d+)-/;
/** A process that has been killed leaves its cgroup within milliseconds. */
const REMOVAL_MS = 30_000;

/** One pod with one container, as the kubelet and the runtime make them. */
export class PodCgroups {
  readonly podUid = crypto.randomUUID();
  readonly #folder: string;
  readonly #containerId = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  readonly #children: ChildProcess[] = [];

  /** @param folder below each hierarchy's root */
  constructor(folder: string, milliCpu: number) {
    this.#folder = folder;
    for (const path of [this.#path("pod"), this.#path("container")]) {
      for (const hierarchy of HIERARCHIES) makeCgroup(join(CGROUP_ROOT, hierarchy, path));
    }
    this.resize(milliCpu);
  }

  directory(level: Level): string {
    return join(CGROUP_ROOT, VERSION === 2 ? "" : "cpu", this.#path(level));
  }

  get bandwidth(): PodBandwidth {
    return { pod: this.at("pod"), container: this.at("container") };
  }

  /** The container's in the hierarchy that counts CPU time. */
  get accounting(): string {
    return join(CGROUP_ROOT, VERSION === 2 ? "" : "cpuacct", this.#path("container"));
  }

  at(level: Level): Bandwidth {
    return cpuCgroup(VERSION, this.directory(level)).bandwidth();
  }

  /** Both bursts, the pod's first. */
  get bursts(): readonly (number | null)[] {
    return [this.at("pod").burstMicros, this.at("container").burstMicros];
  }

  /** Both quotas, the pod's first. */
  get quotas(): readonly (number | null)[] {
    return [this.at("pod").quotaMicros, this.at("container").quotaMicros];
  }

  get throttledPeriods(): number {
    return cpuCgroup(VERSION, this.directory("container")).stat().throttledPeriods;
  }

  /** As the kubelet writes a limit: from above when it rises, from below when it sinks. */
  resize(milliCpu: number | null): void {
    const micros = milliCpu === null ? null : milliCpu * 100;
    const rises = (micros ?? Infinity) > (this.at("container").quotaMicros ?? Infinity);
    const isFirst = this.at("pod").quotaMicros === null && micros !== null;
    for (const level of rises || isFirst
      ? (["pod", "container"] as const)
      : (["container", "pod"] as const)) {
      this.writeQuota(level, micros);
    }
  }

  writeQuota(level: Level, micros: number | null): void {
    cpuCgroup(VERSION, this.directory(level)).setQuota(micros);
  }

  writeBurst(level: Level, micros: number): void {
    cpuCgroup(VERSION, this.directory(level)).setBurst(micros);
  }

  writePeriod(level: Level, micros: number): void {
    const directory = this.directory(level);
    if (VERSION === 1) writeFileSync(join(directory, "cpu.cfs_period_us"), String(micros));
    else writeFileSync(join(directory, "cpu.max"), `${this.at(level).quotaMicros ?? "max"} ${micros}`);
  }

  /** /proc/<pid>/cgroup of a process in the container. */
  async processCgroup(): Promise<string> {
    const child = await this.#spawn("read line");
    return readFileSync(`/proc/${child.pid}/cgroup`, "utf8");
  }

  /** A process in the container that uses all the CPU it can have, until it or this one is killed. */
  async burn(): Promise<void> {
    await this.#spawn("while kill -0 $PPID; do :; done 2>/dev/null");
  }

  /** Ends its processes and removes the cgroups, as the runtime does. */
  async remove(): Promise<void> {
    await Promise.all(this.#children.map(end));
    await this.removeContainer();
    for (const hierarchy of HIERARCHIES) removeCgroup(join(CGROUP_ROOT, hierarchy, this.#path("pod")));
  }

  async removeContainer(): Promise<void> {
    await Promise.all(this.#children.map(end));
    for (const hierarchy of HIERARCHIES) removeCgroup(join(CGROUP_ROOT, hierarchy, this.#path("container")));
  }

  #path(level: Level): string {
    const pod = join(this.#folder, `pod${this.podUid}`);
    return level === "pod" ? pod : join(pod, this.#containerId);
  }

  /** Resolves once it is in the container's cgroups. */
  async #spawn(script: string): Promise<ChildProcess> {
    const enter = HIERARCHIES.map(
      (hierarchy) => `echo $$ > ${join(CGROUP_ROOT, hierarchy, this.#path("container"), "cgroup.procs")}`,
    );
    const child = spawn("sh", ["-ec", `${enter.join("; ")}; echo; ${script}`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    if (child.stdout !== null) await once(child.stdout, "data");
    return child;
  }
}

/** All cgroups of a run, and a directory for the agent's records. */
export class CgroupLab implements AsyncDisposable {
  readonly state = mkdtempSync(join(tmpdir(), "cpu-burst-"));
  readonly #folder = `virtpod-test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly #pods: PodCgroups[] = [];

  get pods(): readonly PodCgroups[] {
    return this.#pods;
  }

  /** After what runs that were killed have left behind is gone. */
  static async open(): Promise<CgroupLab> {
    const folders = new Set(HIERARCHIES.flatMap((hierarchy) => readdirSync(join(CGROUP_ROOT, hierarchy))));
    for (const folder of folders) {
      const [, pid] = FOLDER.exec(folder) ?? [];
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) await removeFolder(folder);
    }
    return new CgroupLab();
  }

  private constructor() {
    for (const hierarchy of HIERARCHIES) makeCgroup(join(CGROUP_ROOT, hierarchy, this.#folder));
  }

  /** The folder in a hierarchy. */
  directory(hierarchy: string): string {
    return join(CGROUP_ROOT, hierarchy, this.#folder);
  }

  pod(milliCpu = 500): PodCgroups {
    const pod = new PodCgroups(this.#folder, milliCpu);
    this.#pods.push(pod);
    return pod;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pod of this.#pods) await pod.remove();
    await removeFolder(this.#folder);
    rmSync(this.state, { recursive: true });
  }
}

/** On cgroup v2 a controller is there once the cgroup above hands it down. */
function makeCgroup(directory: string): void {
  mkdirSync(directory, { recursive: true });
  if (VERSION === 1) return;
  const above = join(directory, "..", "cgroup.subtree_control");
  writeFileSync(above, "+cpu +memory");
}

/** With all below it, deepest first: the kernel makes and removes the files in it. */
async function removeFolder(folder: string): Promise<void> {
  const deadline = performance.now() + REMOVAL_MS;
  for (const hierarchy of HIERARCHIES) {
    const root = join(CGROUP_ROOT, hierarchy, folder);
    while (existsSync(root)) {
      try {
        removeTree(root);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EBUSY" || performance.now() > deadline) throw error;
        await sleep(10);
      }
    }
  }
}

function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  }
  rmdirSync(directory);
}

function removeCgroup(directory: string): void {
  if (existsSync(directory)) rmdirSync(directory);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
