/**
 * `node bench/run.ts NAME|all [--check] [--sabotage] [--runs N]`: measures, and prints one JSON object as the last
 * line; `all` prints one by benchmark. Progress and verdicts go to stderr.
 *
 * --check      ends with status 1 when a promise is broken
 * --sabotage   the control run: does harm, and ends with status 1 when a promise that must break still holds
 */
import { parseArgs } from "node:util";
import { agent } from "./agent.ts";
import { apiWrites } from "./api-writes.ts";
import { type Bench, type BenchContext, judge, type LocalContext, type Verdict } from "./bench.ts";
import { console_ } from "./console.ts";
import { cpuBurst } from "./cpu-burst.ts";
import { deployedCluster } from "./deployment.ts";
import { dhcp } from "./dhcp.ts";
import { disk } from "./disk.ts";
import { footprint } from "./footprint.ts";
import { kube } from "./kube.ts";
import { networkSetup } from "./network-setup.ts";
import { networkThroughput } from "./network-throughput.ts";
import { type Progress, startProgress } from "./progress.ts";
import { startup } from "./startup.ts";
import { status } from "./status.ts";

interface Outcome {
  readonly report: object;
  readonly verdicts: readonly Verdict[];
}

/** Promises that no control run can break without harm to others; tests hold them. */
const UNSABOTAGED = new Set(["init containers"]);

type Runner<Context> = (context: Context) => Promise<Outcome>;

/** They need no virtpod; `kube` finds a cluster by itself. */
const LOCAL: Readonly<Record<string, Runner<LocalContext>>> = {
  agent: runner(agent),
  dhcp: runner(dhcp),
  kube: runner(kube),
  "network-setup": runner(networkSetup),
  "network-throughput": runner(networkThroughput),
};

/** They need a cluster where virtpod runs; it is made when there is none. */
const ON_CLUSTER: Readonly<Record<string, Runner<BenchContext>>> = {
  startup: runner(startup),
  footprint: runner(footprint),
  "api-writes": runner(apiWrites),
  disk: runner(disk),
  console: runner(console_),
  status: runner(status),
  "cpu-burst": runner(cpuBurst),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: "boolean", default: false },
    sabotage: { type: "boolean", default: false },
    runs: { type: "string", default: "7" },
  },
});
const progress = startProgress((line) => process.stderr.write(line));
process.exitCode = await main(positionals[0] ?? "all", progress);

async function main(name: string, progress: Progress): Promise<number> {
  const all = [...Object.keys(LOCAL), ...Object.keys(ON_CLUSTER)];
  const names = name === "all" ? all : [name];
  const runs = Number(values.runs);
  const unknown = names.find((one) => !all.includes(one));
  if (unknown !== undefined || !Number.isInteger(runs) || runs < 1) {
    const known = [...all, "all"].join("|");
    process.stderr.write(`usage: make bench BENCH=${known}; node bench/run.ts NAME [--runs N]\n`);
    return 2;
  }
  const client = names.some((one) => one in ON_CLUSTER) ? await deployedCluster(progress) : undefined;
  const outcomes: Record<string, Outcome> = {};
  try {
    for (const one of names) {
      progress(`${one}${values.sabotage ? ", sabotaged" : ""}`);
      const context = { progress, runs, sabotage: values.sabotage };
      const outcome = await (client === undefined
        ? LOCAL[one]?.(context)
        : (LOCAL[one] ?? ON_CLUSTER[one])?.({ ...context, client }));
      if (outcome !== undefined) outcomes[one] = outcome;
    }
  } finally {
    await client?.close();
  }
  const verdicts = Object.values(outcomes).flatMap(({ verdicts }) => verdicts);
  for (const { isKept, text } of verdicts) progress(`${isKept ? "kept  " : "BROKEN"} ${text}`);
  const reports = Object.fromEntries(Object.entries(outcomes).map(([one, { report }]) => [one, report]));
  process.stdout.write(`${JSON.stringify(name === "all" ? reports : reports[name])}\n`);
  return exitCode(verdicts);
}

function exitCode(verdicts: readonly Verdict[]): number {
  if (values.sabotage) return verdicts.some(({ name, isKept }) => isKept && !UNSABOTAGED.has(name)) ? 1 : 0;
  return values.check && verdicts.some(({ isKept }) => !isKept) ? 1 : 0;
}

function runner<Report extends object, Context extends LocalContext>(
  bench: Bench<Report, Context>,
): Runner<Context> {
  return async (context) => {
    const report = await bench.run(context);
    return { report, verdicts: judge(bench.promises, report) };
  };
}
