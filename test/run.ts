/**
 * `make test`: everything; the last line counts it. What disturbs the deployment runs by itself and mostly waits, for
 * back-offs, leases and the kubelet: beside it, and with less of a claim to the CPUs, runs what needs no cluster.
 */
import { fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { setPriority } from "node:os";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { type Counts, ROOT, SUITES, type SuiteName } from "./suites.ts";

const SUITE = join(import.meta.dirname, "suite.ts");
/** For a suite beside another whose guests must not be late. */
const NICE = 5;

const started = Date.now();
let counts: Counts = { passed: 0, failed: 0, skipped: 0 };

await step("types, lint, generated files", "make", ["check"]);
const wasUp = spawnSync("./cluster/status", { cwd: ROOT }).status === 0;
const offline = runBeside(["unit", "boundary"]);
const isDeployed =
  (await step("cluster-up", "make", ["cluster-up"])) && (await step("deploy", "make", ["deploy"]));
if (isDeployed) await runSuite("disruptive", process.stdout);
await offline;
if (isDeployed) await runSuite("shared", process.stdout);
if (!wasUp) await step("cluster-down leaves nothing", "make", ["cluster-down"]);

const { passed, failed, skipped } = counts;
console.log(`\nall suites: ${Math.round((Date.now() - started) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** A command that counts as one test. */
async function step(title: string, command: string, args: readonly string[]): Promise<boolean> {
  heading(title, process.stdout);
  const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  const [status] = await once(child, "close");
  const isPassed = status === 0;
  count({ passed: isPassed ? 1 : 0, failed: isPassed ? 0 : 1, skipped: 0 });
  if (!isPassed) console.log(`✖ ${title} failed`);
  return isPassed;
}

/** One after the other; each one's report comes in one piece, when it has ended. */
async function runBeside(names: readonly SuiteName[]): Promise<void> {
  for (const name of names) {
    const held = new PassThrough();
    const report = text(held);
    await runSuite(name, held, NICE);
    held.end();
    process.stdout.write(await report);
  }
}

/** @param output where its report goes, as it comes */
async function runSuite(name: SuiteName, output: Writable, nice = 0): Promise<void> {
  heading(SUITES[name].title, output);
  const child = fork(SUITE, [name], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit", "ipc"] });
  if (nice > 0 && child.pid !== undefined) setPriority(child.pid, nice);
  child.stdout?.pipe(output, { end: false });
  let told: Counts | undefined;
  child.on("message", (message) => {
    told = message as Counts;
  });
  await once(child, "close");
  if (told === undefined) output.write(`✖ ${SUITES[name].title} ended without a count\n`);
  count(told ?? { passed: 0, failed: 1, skipped: 0 });
}

function count(more: Counts): void {
  counts = {
    passed: counts.passed + more.passed,
    failed: counts.failed + more.failed,
    skipped: counts.skipped + more.skipped,
  };
}

function heading(title: string, output: Writable): void {
  output.write(`\n=== ${title} (${Math.round((Date.now() - started) / 1000)} s)\n`);
}
