/**
 * What an agent costs its node with a hundred launchers whose quotas it scales each second: the bundle, with Node's
 * flags as the chart has them, beside cgroups that it takes over as from an agent that was killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CgroupLab, VERSION } from "../agent/cpu-burst/cgroups.fixture.ts";
import type { CgroupLocation } from "../agent/cpu-burst/location.ts";
import type { RaisedRecord } from "../agent/cpu-burst/record.ts";
import { type BurstPolicy, DEFAULT_BURST_STRATEGY } from "../api/cpu-burst.ts";
import type { AnnouncedLauncher } from "../api/uplink-protocol.ts";
import { bundle } from "../images/bundle.ts";
import { sleep } from "../lib/clock.ts";
import { ROOT } from "../test/harness/cluster.ts";
import { clearing } from "../test/harness/interrupts.ts";
import type { Bench, LocalContext } from "./bench.ts";
import { median, rounded } from "./median.ts";
import { mappingsOf, type PodProcess, residentKiB } from "./pod-processes.ts";
import { privateDirtyKiB } from "./smaps.ts";

const LAUNCHERS = 100;
/** Of them in cgroups of the kernel's, with a process each that is throttled; the rest are plain files. */
const REAL = 10;
const MILLI_CPU = 20;
/** What was loaded for the start is collected by then. */
const SETTLING_MS = 10_000;
const MEASURING_MS = 20_000;
/** One takes half a minute, and they hardly differ. */
const MAX_RUNS = 3;
/** USER_HZ. */
const TICKS_PER_SECOND = 100;
const START_TIMEOUT_MS = 20_000;
/** What a control run has the agent do besides. */
const HARM =
  "globalThis.held = Buffer.alloc(80 << 20, 1); setInterval(() => { const end = Date.now() + 30; while (Date.now() < end); }, 1000);";

interface Cost {
  /** Of one CPU. */
  readonly cpuPercent: number;
  readonly privateDirtyMiB: number;
  readonly residentMiB: number;
}

export interface AgentReport extends Cost {
  readonly launchers: number;
  /** Of one CPU, under the default policy, which needs no look each second. */
  readonly cpuPercentBurstOnly: number;
}

export const agent: Bench<AgentReport, LocalContext> = {
  name: "agent",
  promises: [
    { name: "agent's CPU", atMost: 1, unit: "% of one", figure: ({ cpuPercent }) => cpuPercent },
    {
      name: "agent's private dirty memory",
      atMost: 45,
      unit: "MiB",
      figure: (report) => report.privateDirtyMiB,
    },
    { name: "agent's resident memory", atMost: 110, unit: "MiB", figure: (report) => report.residentMiB },
  ],
  run,
};

async function run({ progress, runs, sabotage }: LocalContext): Promise<AgentReport> {
  await bundle("agent");
  const costs: Cost[] = [];
  const burstOnly = await measure("cpuBurstOnly", sabotage);
  progress(`cpuBurstOnly: ${JSON.stringify(burstOnly)}`);
  for (let index = 0; index < Math.min(runs, MAX_RUNS); index++) {
    const cost = await measure("auto", sabotage);
    progress(`auto: ${JSON.stringify(cost)}`);
    costs.push(cost);
  }
  const middle = (figure: (cost: Cost) => number) => rounded(median(costs.map(figure)));
  return {
    launchers: LAUNCHERS,
    cpuPercent: middle(({ cpuPercent }) => cpuPercent),
    privateDirtyMiB: middle(({ privateDirtyMiB }) => privateDirtyMiB),
    residentMiB: middle(({ residentMiB }) => residentMiB),
    cpuPercentBurstOnly: burstOnly.cpuPercent,
  };
}

async function measure(policy: BurstPolicy, isHarmed: boolean): Promise<Cost> {
  const lab = await CgroupLab.open();
  const directory = mkdtempSync(join(tmpdir(), "agent-cost-"));
  let started: ChildProcess | undefined;
  await using _ = clearing(async () => {
    if (started !== undefined) await stop(started);
    await lab[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  await prepare(directory, lab, policy);
  const harm = isHarmed ? ["--import", `data:text/javascript,${encodeURIComponent(HARM)}`] : [];
  const node = [process.execPath, ...nodeFlags(), ...harm, join(ROOT, "dist/agent.mjs")];
  // It becomes that program, which ends with this one, even with one that is killed.
  started = spawn("setpriv", ["--pdeathsig", "TERM", ...node], {
    env: environment(directory),
    stdio: ["ignore", "ignore", "inherit"],
  });
  const measured = { pid: started.pid ?? 0, program: "node" };
  await untilManaged(lab);
  await sleep(SETTLING_MS);
  const [since, usedBefore] = [performance.now(), cpuMs(measured)];
  await sleep(MEASURING_MS);
  const used = cpuMs(measured) - usedBefore;
  return {
    cpuPercent: rounded((used / (performance.now() - since)) * 100),
    privateDirtyMiB: rounded(privateDirtyKiB(mappingsOf(measured)) / 1024),
    residentMiB: rounded(residentKiB(measured) / 1024),
  };
}

/** An agent that was killed has left these launchers behind. */
async function prepare(directory: string, lab: CgroupLab, policy: BurstPolicy): Promise<void> {
  const state = join(directory, "state/state");
  for (const path of [join(state, "cpu-burst"), join(directory, "plugins")])
    mkdirSync(path, { recursive: true });
  const launchers: AnnouncedLauncher[] = [];
  for (let index = 0; index < LAUNCHERS; index++) {
    const { podUid, location } = index < REAL ? await realLauncher(lab) : simulatedLauncher(directory);
    launchers.push(announced(podUid, policy));
    const record: RaisedRecord = {
      podUid,
      location,
      baseMilliCpu: MILLI_CPU,
      podBaseMilliCpu: MILLI_CPU,
      hasScaledQuotas: false,
    };
    writeFileSync(join(state, "cpu-burst", `${podUid}.json`), JSON.stringify(record));
  }
  writeFileSync(join(state, "launchers.json"), JSON.stringify({ launchers }));
}

async function realLauncher(lab: CgroupLab): Promise<Pick<RaisedRecord, "podUid" | "location">> {
  const pod = lab.pod(MILLI_CPU);
  await pod.burn();
  const [container, accounting] = [pod.directory("container"), pod.accounting];
  return {
    podUid: pod.podUid,
    location: { version: VERSION, pod: pod.directory("pod"), container, accounting },
  };
}

function simulatedLauncher(directory: string): {
  readonly podUid: string;
  readonly location: CgroupLocation;
} {
  const podUid = crypto.randomUUID();
  const pod = join(directory, "cgroup", `pod${podUid}`);
  const container = join(pod, "container");
  mkdirSync(container, { recursive: true });
  const files = {
    "cpu.max": `${MILLI_CPU * 100} 100000\n`,
    "cpu.max.burst": "0\n",
    "cpu.stat":
      "usage_usec 1000000\nuser_usec 0\nsystem_usec 0\nnr_periods 10\nnr_throttled 1\nthrottled_usec 1\n",
    "cpuset.cpus.effective": "0-1\n",
    "memory.current": "100000000\n",
  };
  for (const at of [pod, container]) {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(at, name), text);
  }
  return {
    podUid,
    location: { version: 2, pod, container, accounting: container, cpuset: container, memory: container },
  };
}

function announced(podUid: string, policy: BurstPolicy): AnnouncedLauncher {
  const { sharePoolThresholdPercent: _, ...strategy } = DEFAULT_BURST_STRATEGY;
  const interfaces = [{ name: "default", binding: "bridge", podInterface: "eth0", queues: 1 }] as const;
  const names = { podName: `virt-launcher-${podUid}`, namespace: "bench", vmiName: podUid, vmiUid: podUid };
  // Tokens are counted too.
  const burst = { ...strategy, policy, quotaPeriodSeconds: 600 };
  return { podUid, ...names, interfaces, cpu: { baseMilliCpu: MILLI_CPU, burst } };
}

function environment(directory: string): Record<string, string> {
  return {
    VIRTPOD_UPLINK: "localhost",
    VIRTPOD_CA: join(directory, "ca.crt"),
    VIRTPOD_STATE: join(directory, "state"),
    VIRTPOD_DEVICE_PLUGINS: join(directory, "plugins"),
    VIRTPOD_HOST_NETNS: "/proc/self/ns/net",
  };
}

/** Of the agent's container. */
function nodeFlags(): readonly string[] {
  const chart = readFileSync(join(ROOT, "charts/virtpod/templates/agent.yaml"), "utf8");
  const flags = [...chart.matchAll(/^ +- (--[a-z0-9-]+(?:=\S+)?)$/gm)].map(([, flag = ""]) => flag);
  if (flags.length === 0) throw new Error("the chart gives the agent's Node no flags: where are they now?");
  return flags;
}

async function untilManaged(lab: CgroupLab): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (lab.pods.some(({ bursts }) => bursts.some((burst) => burst !== MILLI_CPU * 100))) {
    if (Date.now() > deadline)
      throw new Error(`the agent has not taken its launchers over within ${START_TIMEOUT_MS} ms`);
    await sleep(100);
  }
}

/** CPU time of all threads that live (proc_pid_stat(5)). */
function cpuMs({ pid }: PodProcess): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // User and system time are the 14th and 15th field; the second may hold spaces.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
}

async function stop(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const exited = once(process, "exit");
  process.kill("SIGTERM");
  await exited;
}
