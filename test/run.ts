/** `make test`: every suite in order, from the fastest to the ones with real guests; the last line counts them all. */
import { execFileSync, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { dirname } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const ROOT = dirname(import.meta.dirname);

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Suite {
  readonly title: string;
  readonly files: () => readonly string[];
  readonly concurrency: number;
  readonly timeoutMs: number;
}

const MINUTE_MS = 60_000;

function tests(isWanted: (file: string) => boolean): () => readonly string[] {
  return () =>
    execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.test.ts"], {
      cwd: ROOT,
      encoding: "utf8",
    })
      .split("\n")
      .filter((file) => file !== "" && isWanted(file))
      .sort();
}

const isBoundary = (file: string) => file.endsWith(".boundary.test.ts");
const isCluster = (file: string) => file.endsWith(".cluster.test.ts");
/** Has operator, agent or kubelet for itself: it kills, replaces or configures them. */
const isDisruptive = (file: string) => file.endsWith(".disruptive.cluster.test.ts");
/** Mostly waits, for back-offs and leases; so it runs beside the tests that need no cluster. */
const isFaults = (file: string) => file.startsWith("test/faults/");

const UNIT: Suite = {
  title: "unit",
  files: tests((file) => !isBoundary(file) && !isCluster(file)),
  concurrency: 2,
  timeoutMs: 5 * MINUTE_MS,
};
const BOUNDARY: Suite = {
  title: "boundary",
  files: tests(isBoundary),
  concurrency: 1,
  timeoutMs: 10 * MINUTE_MS,
};
const FAULTS: Suite = {
  title: "cluster, faults",
  files: tests((file) => isDisruptive(file) && isFaults(file)),
  concurrency: 1,
  timeoutMs: 15 * MINUTE_MS,
};
const DISRUPTIVE: Suite = {
  title: "cluster, one at a time",
  files: tests((file) => isDisruptive(file) && !isFaults(file)),
  concurrency: 1,
  timeoutMs: 15 * MINUTE_MS,
};
const SHARED: Suite = {
  title: "cluster, two at a time",
  files: tests((file) => isCluster(file) && !isDisruptive(file)),
  concurrency: 2,
  timeoutMs: 15 * MINUTE_MS,
};

const started = Date.now();
const counts: Counts = { passed: 0, failed: 0, skipped: 0 };

step("types, lint, generated files", "make", ["check"]);
await runSuite(UNIT);
const wasUp = spawnSync("./cluster/status", { cwd: ROOT }).status === 0;
if (step("cluster-up", "make", ["cluster-up"]) && step("deploy", "make", ["deploy"])) {
  const held = new PassThrough();
  const report = text(held);
  await Promise.all([runSuite(FAULTS), runSuite(BOUNDARY, held).finally(() => held.end())]);
  process.stdout.write(await report);
  await runSuite(DISRUPTIVE);
  await runSuite(SHARED);
} else {
  await runSuite(BOUNDARY);
}
if (!wasUp) step("cluster-down leaves nothing", "make", ["cluster-down"]);

const { passed, failed, skipped } = counts;
console.log(`\nall suites: ${Math.round((Date.now() - started) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** A command that counts as one test. */
function step(title: string, command: string, args: readonly string[]): boolean {
  heading(title);
  const isPassed =
    spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
  if (isPassed) counts.passed++;
  else counts.failed++;
  if (!isPassed) console.log(`✖ ${title} failed`);
  return isPassed;
}

/** @param output where its report goes, as it comes */
async function runSuite(
  { title, files, concurrency, timeoutMs }: Suite,
  output: Writable = process.stdout,
): Promise<void> {
  heading(title, output);
  const stream = run({ files: files().map((file) => `${ROOT}/${file}`), concurrency, timeout: timeoutMs });
  const isTest = (details: { type?: string | undefined } | undefined) => details?.type !== "suite";
  stream.on("test:pass", (event) => {
    if (!isTest(event.details)) return;
    if (event.skip !== undefined || event.todo !== undefined) counts.skipped++;
    else counts.passed++;
  });
  stream.on("test:fail", (event) => {
    if (isTest(event.details)) counts.failed++;
  });
  const report = stream.compose(spec);
  report.pipe(output, { end: false });
  await new Promise((resolve) => report.once("end", resolve));
}

function heading(title: string, output: Writable = process.stdout): void {
  output.write(`\n=== ${title} (${Math.round((Date.now() - started) / 1000)} s)\n`);
}

// A glob that finds nothing would make a green run of no tests; the floor is this very folder.
if (globSync("test/*.test.ts", { cwd: ROOT }).length === 0) throw new Error("no tests were found");
