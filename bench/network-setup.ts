/**
 * A pod's network from the launcher's call to the tap: the agent's own broker and wiring, in pods of real cgroups and
 * namespaces on a bridge. Beside it, in turns, a shell script that calls `ip` once for each of the same links. Then the
 * same while another pod does its worst.
 */
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { BrokerLab, type LauncherPod } from "../agent/launchers/broker.fixture.ts";
import { observeNetwork, wireNetwork } from "../agent/network/wire.ts";
import type { Bench, LocalContext } from "./bench.ts";
import { Conversation } from "./conversation.ts";
import { median, percentile, rounded } from "./median.ts";
import { ABUSES, type Abuse } from "./network-abuse.ts";
import { wiringScript } from "./network-script.ts";

const LAUNCHER = new URL("./network-launcher.ts", import.meta.url).pathname;
/** For each run that is asked for: a 99th percentile needs two hundred. */
const SAMPLES_PER_RUN = 30;
const SCRIPTS_PER_RUN = 4;
const ABUSED_PER_RUN = 3;
/** What the control run adds to each wiring. */
const HARM = { processes: 4, secondsEach: 0.05 };

export interface NetworkSetupReport {
  /** Until the launcher has been told of its tap. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** That the agent starts for one pod, at most. */
  readonly processes: number;
  /** The same by a shell script, until it ends. */
  readonly shellP50Ms: number;
  readonly shellProcesses: number;
  /** While another pod does its worst, of the worst kind. */
  readonly abusedP99Ms: number;
  readonly abused: Readonly<Record<string, number>>;
  readonly samples: number;
}

export const networkSetup: Bench<NetworkSetupReport, LocalContext> = {
  name: "network-setup",
  promises: [
    { name: "network set up, p50", atMost: 30, unit: "ms", figure: ({ p50Ms }) => p50Ms },
    { name: "network set up, p99", atMost: 100, unit: "ms", figure: ({ p99Ms }) => p99Ms },
    { name: "processes for a pod", atMost: 4, unit: "", figure: ({ processes }) => processes },
    {
      name: "network set up beside a hostile pod, p99",
      atMost: 100,
      unit: "ms",
      figure: ({ abusedP99Ms }) => abusedP99Ms,
    },
  ],
  run: measure,
};

interface Sample {
  readonly milliseconds: number;
  readonly processes: number;
}

async function measure({ progress, runs, sabotage }: LocalContext): Promise<NetworkSetupReport> {
  await using lab = await BrokerLab.create(sabotage ? { wireNetwork: harmed } : {});
  // The first of all warms the agent up, as the first pod of a node does.
  await honest(lab);
  const samples: Sample[] = [];
  const scripts: Sample[] = [];
  for (let run = 1; run <= runs; run++) {
    for (let count = 0; count < SAMPLES_PER_RUN; count++) {
      samples.push(await honest(lab));
      if (count % Math.ceil(SAMPLES_PER_RUN / SCRIPTS_PER_RUN) === 0) scripts.push(await byScript(lab));
    }
    progress(`run ${run} of ${runs}: p50 ${rounded(percentile(times(samples), 50))} ms`);
  }
  const abused: Record<string, number> = {};
  for (const [name, abuse] of Object.entries(ABUSES)) {
    abused[name] = rounded(percentile(times(await beside(lab, abuse, ABUSED_PER_RUN * runs)), 99));
    progress(`beside a pod that ${abuse.does}: p99 ${abused[name]} ms`);
  }
  return {
    p50Ms: rounded(percentile(times(samples), 50)),
    p99Ms: rounded(percentile(times(samples), 99)),
    processes: Math.max(...samples.map(({ processes }) => processes)),
    shellP50Ms: rounded(median(times(scripts))),
    shellProcesses: Math.max(...scripts.map(({ processes }) => processes)),
    abusedP99Ms: Math.max(...Object.values(abused)),
    abused,
    samples: samples.length,
  };
}

function times(samples: readonly Sample[]): readonly number[] {
  return samples.map(({ milliseconds }) => milliseconds);
}

/** A pod that comes, has its network made, and goes. */
async function honest(lab: BrokerLab, ...others: readonly LauncherPod[]): Promise<Sample> {
  const pod = await lab.addPod();
  await lab.announce(pod, ...others);
  const launcher = new Conversation(lab.run(pod, [...QUIET, LAUNCHER, lab.socketPath]));
  await launcher.next();
  let processes = 0;
  const count = (): void => void processes++;
  subscribe("child_process", count);
  const answer = await launcher.ask<{ milliseconds?: number; tap?: string }>();
  unsubscribe("child_process", count);
  if (answer.milliseconds === undefined) throw new Error(`refused: ${JSON.stringify(answer)}`);
  const missing = await observeNetwork(lab.wireOptions(pod));
  if (missing.length > 0) throw new Error(`the network is not as planned: ${missing.join("; ")}`);
  await lab.removePod(pod);
  return { milliseconds: answer.milliseconds, processes };
}

const QUIET = ["--disable-warning=ExperimentalWarning"];

async function byScript(lab: BrokerLab): Promise<Sample> {
  const pod = await lab.addPod();
  const { script, processes } = await wiringScript(lab.wireOptions(pod));
  const started = performance.now();
  const shell = spawn("nsenter", [`--net=${pod.network.path}`, "sh", "-e", "-s"], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  shell.stdin.end(script);
  const [status] = await once(shell, "exit");
  const milliseconds = performance.now() - started;
  if (status !== 0) throw new Error("the script failed");
  await lab.removePod(pod);
  return { milliseconds, processes };
}

/** Honest launchers, one after the other, while a pod goes on with its abuse. */
async function beside(lab: BrokerLab, abuse: Abuse, count: number): Promise<readonly Sample[]> {
  const hostile = await lab.addPod();
  await lab.announce(hostile);
  const abuser = lab.abuse(hostile, abuse.script);
  await abuser.next();
  const samples: Sample[] = [];
  for (let index = 0; index < count; index++) samples.push(await honest(lab, hostile));
  await lab.removePod(hostile);
  return samples;
}

/** The control run's wiring: processes too many, each of which takes its time. */
const harmed: typeof wireNetwork = async (options) => {
  for (let count = 0; count < HARM.processes; count++) {
    await once(spawn("sleep", [String(HARM.secondsEach)]), "exit");
  }
  return wireNetwork(options);
};
