/**
 * What CPU burst gives a guest with a CPU limit, and what it costs its neighbour: bursts of calibrated work under each
 * policy in turn, with one policy twice to show what two equal ones differ by.
 */
import type { BurstPolicy } from "../api/cpu-burst.ts";
import type { Pod } from "../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../operator/kinds.ts";
import { makeNamespace, removeNamespace } from "../test/harness/cluster.ts";
import { Guests } from "../test/harness/guest.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { LauncherCgroups } from "../test/harness/launcher-cgroups.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { type Bursts, burstsMs, requestMs, streamMs } from "./cpu-burst-load.ts";
import { median, percentile, rounded } from "./median.ts";
import { freeze } from "./sabotage.ts";

/** Of CPU time, what a request takes all in all: the guest's work, its network and qemu's threads. */
const REQUEST_CPU_MS = 15;
/** 75 ms of work at once, where the limit gives 50 ms in each period of 100 ms. */
const REQUESTS_PER_BURST = 5;
const PAUSE_MS = [130, 230] as const;
/** With seven runs 2,030 requests under each policy. */
const BURSTS_PER_TURN = 58;
/** After a change of policy, so that all begin with the same saved up. */
const SETTLING_BURSTS = 3;
const NEIGHBOUR_EVERY_MS = 50;
const NEIGHBOUR_CPU_MS = 8;
const CALIBRATION_BURSTS = 10;
const CALIBRATION_ITERATIONS = [1, 20] as const;
const BOOT_TIMEOUT_MS = 120_000;
const CHANGE_TIMEOUT_MS = 30_000;
/** In a control run the neighbour stands still this long, this often. */
const STANDSTILL_MS = 60;
const STANDSTILL_EVERY_MS = 250;

const ARMS = { off: "none", control: "none", cpuBurstOnly: "cpuBurstOnly", auto: "auto" } as const;
type Arm = keyof typeof ARMS;

interface ArmReport {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** Periods in which the guest stood still, of the pod's cgroup and the container's. */
  readonly throttledPeriods: number;
}

export interface CpuBurstReport extends Readonly<Record<Exclude<Arm, "control">, ArmReport>> {
  /** cpuBurstOnly ÷ off. */
  readonly p95RatioBurst: number;
  readonly throttledRatioBurst: number;
  /** auto ÷ off. */
  readonly p95RatioAuto: number;
  /** Of a neighbour on the same node, median over the rounds of cpuBurstOnly ÷ off. */
  readonly neighbourP90Ratio: number;
  readonly neighbourP90Ms: number;
  /** What two rounds without burst differ by at most, for the neighbour. */
  readonly neighbourControlSpread: number;
  /** p95 without burst ÷ p95 without burst. */
  readonly controlRatio: number;
  readonly requests: number;
}

export const cpuBurst: Bench<CpuBurstReport> = {
  name: "cpu-burst",
  promises: [
    { name: "p95 with burst", atMost: 0.8, unit: "", figure: (report) => report.p95RatioBurst },
    {
      name: "throttled periods with burst",
      atMost: 0.05,
      unit: "",
      figure: (report) => report.throttledRatioBurst,
    },
    { name: "a neighbour's p90", atMost: 1.05, unit: "", figure: (report) => report.neighbourP90Ratio },
    {
      name: "a neighbour's p90 beyond what two rounds without burst differ by",
      atMost: 1,
      unit: "",
      figure: (report) => report.neighbourP90Ratio / report.neighbourControlSpread,
    },
  ],
  run,
};

/** What one turn under a policy gave. */
interface Turn {
  readonly arm: Arm;
  readonly samples: readonly number[];
  readonly throttledPeriods: number;
  readonly neighbourP90Ms: number;
}

interface Stage {
  readonly guests: Guests;
  readonly cgroups: LauncherCgroups;
  readonly load: Bursts;
  readonly neighbour: { readonly pod: Pod; readonly address: string; readonly iterations: number };
}

const VM = "bursty";
const NEIGHBOUR = "neighbour";

async function run(context: BenchContext): Promise<CpuBurstReport> {
  const { client, progress, runs } = context;
  const namespace = await makeNamespace(client, "bench-cpu-burst");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const stage = await prepare(new Guests(client, namespace));
  progress(`calibrated: ${stage.load.iterations} iterations, the neighbour's ${stage.neighbour.iterations}`);
  const rounds: Turn[][] = [];
  for (let round = 0; round < runs; round++) {
    const turns: Turn[] = [];
    for (const arm of rotated(Object.keys(ARMS) as Arm[], round)) turns.push(await turn(context, stage, arm));
    rounds.push(turns);
    const told = turns.map(
      ({ arm, samples, throttledPeriods, neighbourP90Ms }) =>
        `${arm} p95 ${percentile(samples, 95).toFixed(1)} ms, throttled ${throttledPeriods}, neighbour ${neighbourP90Ms.toFixed(1)} ms`,
    );
    progress(`round ${round + 1}/${runs}: ${told.join("; ")}`);
  }
  return report(rounds);
}

async function prepare(guests: Guests): Promise<Stage> {
  await guests.create(NEIGHBOUR, {});
  const neighbour = await guests.answering(NEIGHBOUR, BOOT_TIMEOUT_MS);
  await guests.create(VM, { domain: { resources: { limits: { cpu: "500m" } } } });
  const { pod, address } = await guests.answering(VM, BOOT_TIMEOUT_MS);
  const cgroups = new LauncherCgroups(pod);
  await setPolicy(guests, cgroups, "cpuBurstOnly");
  return {
    guests,
    cgroups,
    load: {
      address,
      iterations: await calibrate(cgroups, address, REQUEST_CPU_MS),
      bursts: BURSTS_PER_TURN,
      requestsPerBurst: REQUESTS_PER_BURST,
      pauseMs: PAUSE_MS,
    },
    neighbour: {
      ...neighbour,
      iterations: await calibrate(new LauncherCgroups(neighbour.pod), neighbour.address, NEIGHBOUR_CPU_MS),
    },
  };
}

/** How many iterations make a request take that much CPU time in all, in bursts as they are measured. */
async function calibrate(cgroups: LauncherCgroups, address: string, cpuMs: number): Promise<number> {
  const costMs = async (iterations: number): Promise<number> => {
    const before = cgroups.usageSeconds;
    const load = { address, iterations, requestsPerBurst: REQUESTS_PER_BURST, pauseMs: PAUSE_MS };
    const samples = await burstsMs({ ...load, bursts: CALIBRATION_BURSTS });
    return ((cgroups.usageSeconds - before) * 1_000) / samples.length;
  };
  await requestMs(address, CALIBRATION_ITERATIONS[1]);
  const [few, many] = CALIBRATION_ITERATIONS;
  const [fewMs, manyMs] = [await costMs(few), await costMs(many)];
  const iterationMs = (manyMs - fewMs) / (many - few);
  return Math.max(1, Math.round(few + (cpuMs - fewMs) / iterationMs));
}

async function turn(context: BenchContext, stage: Stage, arm: Arm): Promise<Turn> {
  const { guests, cgroups, load, neighbour } = stage;
  await setPolicy(guests, cgroups, ARMS[arm]);
  const harm = context.sabotage && ARMS[arm] !== "none" ? new Harm(stage) : undefined;
  try {
    await burstsMs({ ...load, bursts: SETTLING_BURSTS });
    const stop = new AbortController();
    const beside = streamMs(neighbour.address, neighbour.iterations, NEIGHBOUR_EVERY_MS, stop.signal);
    const before = cgroups.throttledPeriods;
    const samples = await burstsMs(load).finally(() => stop.abort());
    const throttledPeriods = cgroups.throttledPeriods - before;
    return { arm, samples, throttledPeriods, neighbourP90Ms: percentile(await beside, 90) };
  } finally {
    await harm?.end();
  }
}

/** By the VM's own field, as a user changes it; the running guest is given it without a restart. */
async function setPolicy(guests: Guests, cgroups: LauncherCgroups, policy: BurstPolicy): Promise<void> {
  const body = { spec: { template: { spec: { domain: { cpu: { burst: { policy } } } } } } };
  await guests.resource(VIRTUAL_MACHINES).patch(VM, { type: "merge", body });
  await guests.untilVmi(
    VM,
    `burst policy ${policy}`,
    BOOT_TIMEOUT_MS,
    ({ spec }) => spec.domain.cpu?.burst?.policy === policy,
  );
  const isAllowed = policy !== "none";
  await cgroups.until(`burst of policy ${policy}`, CHANGE_TIMEOUT_MS, ({ bursts }) =>
    bursts.every((burst) => (burst ?? 0) > 0 === isAllowed),
  );
}

/**
 * Leaves the guest nothing to save up, by work without end, and stops its neighbour. Taking the burst away by writes
 * would be no harm: with each of them the kernel refills the quota.
 */
class Harm {
  readonly #stop = new AbortController();
  readonly #work: Promise<unknown>;
  readonly #timer: NodeJS.Timeout;

  constructor({ load, neighbour }: Stage) {
    this.#work = streamMs(load.address, load.iterations, 0, this.#stop.signal);
    this.#timer = setInterval(
      () => freeze(neighbour.pod, /^qemu-system/, STANDSTILL_MS),
      STANDSTILL_EVERY_MS,
    );
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#work;
  }
}

function report(rounds: readonly (readonly Turn[])[]): CpuBurstReport {
  const turnsOf = (arm: Arm) => rounds.map((turns) => turns.find((turn) => turn.arm === arm) as Turn);
  const arm = (name: Arm): ArmReport => {
    const samples = turnsOf(name).flatMap((turn) => turn.samples);
    return {
      p50Ms: rounded(percentile(samples, 50)),
      p95Ms: rounded(percentile(samples, 95)),
      p99Ms: rounded(percentile(samples, 99)),
      throttledPeriods: turnsOf(name).reduce((sum, { throttledPeriods }) => sum + throttledPeriods, 0),
    };
  };
  const neighbourRatios = (name: Arm) =>
    turnsOf(name).map(
      ({ neighbourP90Ms }, round) => neighbourP90Ms / (turnsOf("off")[round]?.neighbourP90Ms ?? Number.NaN),
    );
  const [off, control, cpuBurstOnly, auto] = [arm("off"), arm("control"), arm("cpuBurstOnly"), arm("auto")];
  return {
    off,
    cpuBurstOnly,
    auto,
    p95RatioBurst: rounded(cpuBurstOnly.p95Ms / off.p95Ms, 3),
    throttledRatioBurst: rounded(cpuBurstOnly.throttledPeriods / off.throttledPeriods, 3),
    p95RatioAuto: rounded(auto.p95Ms / off.p95Ms, 3),
    neighbourP90Ratio: rounded(median(neighbourRatios("cpuBurstOnly")), 3),
    neighbourP90Ms: rounded(median(turnsOf("off").map(({ neighbourP90Ms }) => neighbourP90Ms))),
    neighbourControlSpread: rounded(
      Math.max(...neighbourRatios("control").map((ratio) => Math.max(ratio, 1 / ratio))),
      3,
    ),
    controlRatio: rounded(control.p95Ms / off.p95Ms, 3),
    requests: turnsOf("off").flatMap(({ samples }) => samples).length,
  };
}

/** So that no policy always has the same neighbours in time. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}
