/** Ways into a guest: keys and their echoes, a flood, many consoles at once, and bytes through ports and the screen. */
import { spawnSync } from "node:child_process";
import { prepareMachine } from "../images/guest-tiny/boot.ts";
import type { Client } from "../kube/client.ts";
import type { Pod } from "../kube/resources.ts";
import { makeNamespace, ROOT, removeNamespace } from "../test/harness/cluster.ts";
import { Guests } from "../test/harness/guest.ts";
import { clearing } from "../test/harness/interrupts.ts";
import { Subresources } from "../test/harness/subresource.ts";
import type { Bench, BenchContext } from "./bench.ts";
import { bareEchoes, echoes, type Flood, flood } from "./console-guest.ts";
import { manyConsoles } from "./console-many.ts";
import { type Speeds, speedsOf } from "./console-speeds.ts";
import { programPods } from "./deployment.ts";
import { median, percentile, rounded } from "./median.ts";
import { podProcesses, residentKiB } from "./pod-processes.ts";
import { freeze } from "./sabotage.ts";

export interface ConsoleReport extends Speeds {
  /** Key → echo, client to guest and back. */
  readonly echoP50Ms: number;
  readonly echoP99Ms: number;
  /** The same at the serial port of the guest under bare qemu. */
  readonly guestEchoP50Ms: number;
  /** Simulated guests whose consoles echoed each key at once, all on one operator; their echoes, and others' status. */
  readonly consoles: number;
  readonly consolesEchoP99Ms: number;
  readonly statusP99Ms: number;
  readonly floodMiB: number;
  readonly lostBytes: number;
  readonly floodSeconds: number;
  /** What operator, agent and launcher grew by, the largest of them, from the first tenth to the end. */
  readonly floodGrowthMiB: number;
  /** Start → exit of `virtpod version --client`. */
  readonly cliStartMs: number;
}

const KEYS = 200;
const CONSOLES = 50;
const OTHERS = 20;
const MANY_MS = 10_000;
const FLOOD_MIB = 10;
const FLOOD_PAUSE_MS = 5_000;
const CLI_STARTS = 15;
const ECHO_HARM_MS = 400;
const MANY_HARM_MS = 150;
const CLI_HARM = "data:text/javascript,await new Promise((resolve) => setTimeout(resolve, 400))";

export const console_: Bench<ConsoleReport> = {
  name: "console",
  promises: [
    {
      name: "echo, p99, beyond the guest's own",
      unit: "ms",
      atMost: 20,
      figure: ({ echoP99Ms, guestEchoP50Ms }) => echoP99Ms - guestEchoP50Ms,
    },
    { name: "consoles at once", unit: "", atLeast: CONSOLES, figure: ({ consoles }) => consoles },
    { name: "their echo, p99", unit: "ms", atMost: 50, figure: ({ consolesEchoP99Ms }) => consolesEchoP99Ms },
    {
      name: "others' status meanwhile, p99",
      unit: "ms",
      atMost: 50,
      figure: ({ statusP99Ms }) => statusP99Ms,
    },
    { name: "lost of a flood", unit: "bytes", atMost: 0, figure: ({ lostBytes }) => lostBytes },
    {
      name: "port-forward",
      unit: "of kubectl's",
      atLeast: 0.6,
      figure: ({ portForwardRatio }) => portForwardRatio,
    },
    { name: "VNC", unit: "of kubectl's", atLeast: 0.6, figure: ({ vncRatio }) => vncRatio },
    { name: "start of the command line", unit: "ms", atMost: 150, figure: ({ cliStartMs }) => cliStartMs },
  ],
  run,
};

async function run(context: BenchContext): Promise<ConsoleReport> {
  const { client, progress, sabotage, runs } = context;
  progress("the command line starts");
  const cliStartMs = cliStart(sabotage);
  progress(`${CONSOLES} simulated consoles at once, status of ${OTHERS} others beside them`);
  const many = await manyConsoles({
    consoles: CONSOLES,
    others: OTHERS,
    durationMs: MANY_MS,
    harmMs: sabotage ? MANY_HARM_MS : 0,
  });
  progress("keys on the serial port of bare qemu");
  const bare = await bareEchoes(await prepareMachine(), KEYS);
  const namespace = await makeNamespace(client, "bench-console");
  await using _ = clearing(() => removeNamespace(client, namespace));
  const guests = new Guests(client, namespace);
  const api = new Subresources(namespace);
  const network = {
    spec: { networks: [{ name: "default", pod: {} }] },
    // Its other ports are the pod's own, where the source of bytes is.
    domain: { devices: { interfaces: [{ name: "default", masquerade: {}, ports: [{ port: 80 }] }] } },
  };
  await guests.create("tiny", network);
  const { pod } = await guests.answering("tiny", 120_000);
  const [operator] = await programPods(client, "operator");
  progress(`${KEYS} keys on its console`);
  const harm = sabotage ? setInterval(() => void holdUpAgents(client), 2 * ECHO_HARM_MS) : undefined;
  const samples = await echoes(api, "tiny", KEYS).finally(() => clearInterval(harm));
  progress(`${FLOOD_MIB} MiB through its console`);
  const flooded = await floodOf(context, api, pod);
  progress("bytes through ports and screen, and through kubectl port-forward, in turns");
  const image = operator?.spec.containers[0]?.image ?? "";
  const speeds = await speedsOf(context, { api, namespace, pod, image, rounds: runs });
  return {
    echoP50Ms: rounded(median(samples)),
    echoP99Ms: rounded(percentile(samples, 99)),
    guestEchoP50Ms: rounded(median(bare)),
    consoles: many.consoles,
    consolesEchoP99Ms: rounded(many.echoP99Ms),
    statusP99Ms: rounded(many.statusP99Ms),
    floodMiB: FLOOD_MIB,
    lostBytes: flooded.lostBytes,
    floodSeconds: rounded(flooded.seconds),
    floodGrowthMiB: rounded(flooded.growthMiB, 1),
    ...speeds,
    cliStartMs: rounded(cliStartMs, 0),
  };
}

async function holdUpAgents(client: Client): Promise<void> {
  for (const pod of await programPods(client, "agent")) freeze(pod, /^node$/, ECHO_HARM_MS);
}

async function floodOf(
  { client, sabotage }: BenchContext,
  api: Subresources,
  pod: Pod,
): Promise<Flood & { readonly growthMiB: number }> {
  const pods = [...(await programPods(client, "operator")), ...(await programPods(client, "agent")), pod];
  const processes = pods.flatMap(({ metadata }) =>
    podProcesses(metadata.uid).filter(({ program }) => program === "node"),
  );
  // From when the flood flows: what a program takes to begin is no growth.
  let before: readonly number[] | undefined;
  let growthKiB = 0;
  const look = () => {
    const now = processes.map(residentKiB);
    before ??= now;
    growthKiB = Math.max(growthKiB, ...now.map((resident, i) => resident - (before?.[i] ?? 0)));
  };
  const options = { mebibytes: FLOOD_MIB, pauseMs: FLOOD_PAUSE_MS, look, isHarmed: sabotage };
  const result = await flood(api, "tiny", options);
  return { ...result, growthMiB: growthKiB / 1024 };
}

/** Median of starts of the program as it is shipped. @throws Error when it fails */
function cliStart(isHarmed: boolean): number {
  const samples: number[] = [];
  for (let i = 0; i < CLI_STARTS; i++) {
    const harm = isHarmed ? ["--import", CLI_HARM] : [];
    const startedAt = performance.now();
    const { status, stderr } = spawnSync(process.execPath, [...harm, "dist/cli.mjs", "version", "--client"], {
      cwd: ROOT,
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`dist/cli.mjs version --client ended with status ${status}: ${stderr}`);
    samples.push(performance.now() - startedAt);
  }
  return median(samples);
}
