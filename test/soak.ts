/**
 * `make soak`: VMs come and go for the first half of SOAK_MINUTES (60), each until its guest has its address; then
 * SOAK_CRASHES (50) guests are killed while they write; for what is left of the time, one round at least, the operator
 * suffers faults. Ends with 1 when a guest does not come, when one leaves something behind or loses what it wrote, or
 * when operator or agent keep growing.
 */
import { readFileSync } from "node:fs";
import { endure } from "./faults/endurance.ts";
import { surviveCrashes } from "./harness/crash.ts";
import { Guests } from "./harness/guest.ts";
import { clearing } from "./harness/interrupts.ts";
import { lastingRemainsOf, processesOf, tracesOf } from "./harness/node.ts";
import { systemPods } from "./harness/system.ts";

const MINUTE_MS = 60_000;
/** VMs that live at the same time. */
const AT_ONCE = 3;
/** What a control plane may grow by after its first ten rounds, which fill its caches and heaps. */
const MAX_GROWTH_MIB = 24;
const WARM_ROUNDS = 10;
/** Nothing is timed here: three guests at once, emulated, are slow where other work has the CPUs. */
const LIFE_TIMEOUT_MS = 120_000;

const minutes = Number(process.env["SOAK_MINUTES"] ?? "60");
const crashes = Number(process.env["SOAK_CRASHES"] ?? "50");
if (!(minutes > 0))
  throw new Error(`SOAK_MINUTES is ${process.env["SOAK_MINUTES"]}, not a number of minutes`);
if (!Number.isInteger(crashes) || crashes < 0)
  throw new Error(`SOAK_CRASHES is ${process.env["SOAK_CRASHES"]}, not a number of crashes`);

const started = Date.now();
const endsMs = started + minutes * MINUTE_MS;
try {
  const lives = await withGuests(async (guests) => {
    const lived = await comeAndGo(guests, started + (minutes * MINUTE_MS) / 2);
    await surviveCrashes(guests, "Filesystem", crashes, tell);
    return lived;
  });
  const faults = await endure({ untilMs: endsMs, tell });
  tell(`${lives} VMs, ${crashes} crashes and ${faults} faults survived`);
  console.log(`${lives + crashes + faults} passed, 0 failed`);
} catch (error) {
  console.log(`✖ ${error instanceof Error ? error.message : String(error)}`);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}

function tell(line: string): void {
  console.error(`${Math.round((Date.now() - started) / 1000)} s: ${line}`);
}

/** In a namespace that is removed however it ends, by an interrupt as well. */
async function withGuests<T>(work: (guests: Guests) => Promise<T>): Promise<T> {
  const guests = await Guests.open("soak");
  await using _ = clearing(() => guests.close());
  return await work(guests);
}

/**
 * VMs come and go, one round at least.
 * @returns how many
 * @throws Error naming what a VM left behind, or that operator and agent grew
 */
async function comeAndGo(guests: Guests, untilMs: number): Promise<number> {
  let rounds = 0;
  let warmMiB = Number.POSITIVE_INFINITY;
  do {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => lifeOf(guests, `vm-${index}`)));
    rounds++;
    const residentMiB = await controlPlaneMiB(guests);
    tell(`${rounds * AT_ONCE} VMs, operator and agent ${residentMiB} MiB`);
    if (rounds === WARM_ROUNDS) warmMiB = residentMiB;
    if (residentMiB > warmMiB + MAX_GROWTH_MIB) {
      const grown = `from ${warmMiB} to ${residentMiB} MiB`;
      throw new Error(`operator and agent grew ${grown} in ${rounds - WARM_ROUNDS} rounds`);
    }
  } while (Date.now() < untilMs);
  return rounds * AT_ONCE;
}

/** From created to a lease to gone without a trace. */
async function lifeOf(guests: Guests, name: string): Promise<void> {
  await guests.create(name);
  const { pod } = await guests.answering(name, LIFE_TIMEOUT_MS);
  const traces = tracesOf(pod);
  await guests.remove(name, LIFE_TIMEOUT_MS);
  const remains = await lastingRemainsOf(traces);
  if (remains.length > 0) throw new Error(`VM ${guests.namespace}/${name} left ${remains.join(", ")}`);
}

/** Resident memory of the operators and agents, in MiB. */
async function controlPlaneMiB({ client }: Guests): Promise<number> {
  const pods = await Promise.all([
    systemPods(client, "virtpod-operator"),
    systemPods(client, "virtpod-agent"),
  ]);
  const processes = pods.flat().flatMap((pod) => processesOf(pod.metadata.uid));
  const kibibytes = processes.reduce((sum, { pid }) => {
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return sum + Number(resident ?? 0);
  }, 0);
  return Math.round(kibibytes / 1024);
}
