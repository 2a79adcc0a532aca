/**
 * A pod's network from the launcher's call to the tap: the agent's own broker and wiring, in pods of real cgroups and
 * namespaces on a bridge. Beside it, in turns, a shell script that calls `ip` once for each of the same links. Then the
 * same right after another pod has done its worst, and while it does.
 */
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { BrokerLab, type LauncherPod } from "../agent/launchers/broker.fixture.ts";
import { observeNetwork, wireNetwork } from "../agent/network/wire.ts";
import { clearing } from "../test/harness/interrupts.ts";
import type { Bench, LocalContext } from "./bench.ts";
import { Conversation } from "./conversation.ts";
import { median, percentile, rounded } from "./median.ts";
import { monotonicMs } from "./monotonic.ts";
import { ABUSES, type Abuse } from "./network-abuse.ts";
import { wiringScript } from "./network-script.ts";

const LAUNCHER = new URL("./network-launcher.ts", import.meta.url).pathname;
/** For each run that is asked for: a 99th percentile needs two hundred. */
const SAMPLES_PER_RUN = 30;
const SCRIPTS_PER_RUN = 4;
const ABUSED_PER_RUN = 5;
/** So long a pod does its worst before the next honest one asks. */
const ABUSE_MS = 200;
/** What the control run adds to each wiring. */
const HARM = { processes: 4, secondsEach: 0.05 };

export interface NetworkSetupReport {
  /** Until the tap is there. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Until the launcher, in whose process everything is new, has heard of it. */
  readonly toldP50Ms: number;
  /** That the agent starts for one pod, at most. */
  readonly processes: number;
  /** The same by a shell script, until it ends. */
  readonly shellP50Ms: number;
  readonly shellProcesses: number;
  /** Of the next honest launcher after one that did its worst, of the worst kind. */
  readonly nextHonestP99Ms: number;
  /** While it does, on whatever CPU time it leaves. */
  readonly besideAbuseP50Ms: number;
  readonly byAbuse: Readonly<Record<string, { readonly nextP99Ms: number; readonly besideP50Ms: number }>>;
  readonly samples: number;
}

export const networkSetup: Bench<NetworkSetupReport, LocalContext> = {
  name: "network-setup",
  promises: [
    { name: "network set up, p50", atMost: 30, unit: "ms", figure: ({ p50Ms }) => p50Ms },
    { name: "network set up, p99", atMost: 100, unit: "ms", figure: ({ p99Ms }) => p99Ms },
    { name: "processes for a pod", atMost: 4, unit: "", figure: ({ processes }) => processes },
    {
      name: "network set up after a hostile launcher, p99",
      atMost: 100,
      unit: "ms",
      figure: ({ nextHonestP99Ms }) => nextHonestP99Ms,
    },
  ],
  run: measure,
};

/** A broker, and the times of its wirings. */
interface Wirer {
  readonly lab: BrokerLab;
  readonly wiring: TimedWiring;
}

interface Sample {
  /** Until the tap is there, or the script has ended. */
  readonly milliseconds: number;
  readonly toldMs: number;
  readonly processes: number;
}

async function measure({ progress, runs, sabotage }: LocalContext): Promise<NetworkSetupReport> {
  const wiring = new TimedWiring(sabotage);
  const lab = await BrokerLab.create({ wireNetwork: wiring.wireNetwork });
  await using _ = clearing(() => lab[Symbol.asyncDispose]());
  const bench: Wirer = { lab, wiring };
  // The first of all warms the agent up, as the first pod of a node does.
  await honest(bench);
  const samples: Sample[] = [];
  const scripts: Sample[] = [];
  for (let run = 1; run <= runs; run++) {
    for (let count = 0; count < SAMPLES_PER_RUN; count++) {
      samples.push(await honest(bench));
      if (count % Math.ceil(SAMPLES_PER_RUN / SCRIPTS_PER_RUN) === 0) scripts.push(await byScript(lab));
    }
    progress(`run ${run} of ${runs}: p50 ${rounded(percentile(times(samples), 50))} ms`);
  }
  const byAbuse: Record<string, { nextP99Ms: number; besideP50Ms: number }> = {};
  for (const [name, abuse] of Object.entries(ABUSES)) {
    const { next, beside } = await abused(bench, abuse, ABUSED_PER_RUN * runs);
    const nextP99Ms = rounded(percentile(times(next), 99));
    const besideP50Ms = rounded(median(times(beside)));
    byAbuse[name] = { nextP99Ms, besideP50Ms };
    progress(`a pod that ${abuse.does}: the next p99 ${nextP99Ms} ms, beside it p50 ${besideP50Ms} ms`);
  }
  return {
    p50Ms: rounded(percentile(times(samples), 50)),
    p99Ms: rounded(percentile(times(samples), 99)),
    toldP50Ms: rounded(median(samples.map(({ toldMs }) => toldMs))),
    processes: Math.max(...samples.map(({ processes }) => processes)),
    shellP50Ms: rounded(median(times(scripts))),
    shellProcesses: Math.max(...scripts.map(({ processes }) => processes)),
    nextHonestP99Ms: Math.max(...Object.values(byAbuse).map(({ nextP99Ms }) => nextP99Ms)),
    besideAbuseP50Ms: Math.max(...Object.values(byAbuse).map(({ besideP50Ms }) => besideP50Ms)),
    byAbuse,
    samples: samples.length,
  };
}

function times(samples: readonly Sample[]): readonly number[] {
  return samples.map(({ milliseconds }) => milliseconds);
}

/** A pod that comes, has its network made, and goes. */
async function honest(bench: Wirer): Promise<Sample> {
  const { lab } = bench;
  const pod = await lab.addPod();
  await lab.announce(pod);
  const launcher = await startLauncher(lab, pod);
  return asked(bench, pod, launcher);
}

/** Started, and about to dial. */
async function startLauncher(lab: BrokerLab, pod: LauncherPod): Promise<Conversation> {
  const launcher = new Conversation(lab.run(pod, [...QUIET, LAUNCHER, lab.socketPath]));
  await launcher.next();
  return launcher;
}

async function asked({ lab, wiring }: Wirer, pod: LauncherPod, launcher: Conversation): Promise<Sample> {
  let processes = 0;
  const count = (): void => void processes++;
  subscribe("child_process", count);
  const { dialled, told, ...refusal } = await launcher.ask<{ dialled?: number; told?: number }>();
  unsubscribe("child_process", count);
  const wired = wiring.endOf(pod.processes.podUid);
  if (dialled === undefined || told === undefined || wired === undefined) {
    throw new Error(`refused: ${JSON.stringify(refusal)}`);
  }
  const missing = await observeNetwork(lab.wireOptions(pod));
  if (missing.length > 0) throw new Error(`the network is not as planned: ${missing.join("; ")}`);
  await lab.removePod(pod);
  return { milliseconds: wired - dialled, toldMs: told - dialled, processes };
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
  return { milliseconds, toldMs: milliseconds, processes };
}

/** Honest launchers while a pod goes on with its abuse, and others right after it has been killed at it. */
async function abused(
  bench: Wirer,
  abuse: Abuse,
  count: number,
): Promise<{ readonly next: readonly Sample[]; readonly beside: readonly Sample[] }> {
  const { lab } = bench;
  const [next, beside]: [Sample[], Sample[]] = [[], []];
  for (let index = 0; index < 2 * count; index++) {
    const [hostile, pod] = [await lab.addPod(), await lab.addPod()];
    await lab.announce(hostile, pod);
    const launcher = await startLauncher(lab, pod);
    const abuser = lab.abuse(hostile, abuse.script);
    await abuser.next();
    await new Promise((resolve) => setTimeout(resolve, ABUSE_MS));
    // What it has sent already is still to be heard.
    if (index % 2 === 0) abuser.process.kill("SIGKILL");
    (index % 2 === 0 ? next : beside).push(await asked(bench, pod, launcher));
    await lab.removePod(hostile);
  }
  return { next, beside };
}

/** The agent's own, which remembers when it was done. */
class TimedWiring {
  readonly #ends = new Map<string, number>();
  readonly #isHarmed: boolean;

  /** @param isHarmed the control run: processes too many, each of which takes its time */
  constructor(isHarmed: boolean) {
    this.#isHarmed = isHarmed;
  }

  readonly wireNetwork: typeof wireNetwork = async (options) => {
    for (let count = 0; this.#isHarmed && count < HARM.processes; count++) {
      await once(spawn("sleep", [String(HARM.secondsEach)]), "exit");
    }
    const attachments = await wireNetwork(options);
    this.#ends.set(options.podUid, monotonicMs());
    return attachments;
  };

  /** On the machine's monotonic clock. */
  endOf(podUid: string): number | undefined {
    return this.#ends.get(podUid);
  }
}
