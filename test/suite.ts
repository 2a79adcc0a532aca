/** One suite of `make test`: `node test/suite.ts unit`. Tells its counts to the process that has forked it. */
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { type Counts, isSuiteName, ROOT, SUITES, type SuiteName } from "./suites.ts";

const [name = ""] = process.argv.slice(2);
if (isSuiteName(name)) {
  const counts = await runSuite(name);
  process.send?.(counts);
  process.exitCode = counts.failed === 0 ? 0 : 1;
} else {
  console.error(`there is no suite ${name}; there are ${Object.keys(SUITES).join(", ")}`);
  process.exitCode = 2;
}

async function runSuite(suite: SuiteName): Promise<Counts> {
  const { files, concurrency, timeoutMs } = SUITES[suite];
  const counts = { passed: 0, failed: 0, skipped: 0 };
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
  report.pipe(process.stdout, { end: false });
  await new Promise((resolve) => report.once("end", resolve));
  return counts;
}
