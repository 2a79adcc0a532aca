/** The suites of `make test`: which files, how many at a time. */
import { execFileSync } from "node:child_process";
import { dirname } from "node:path";

export const ROOT = dirname(import.meta.dirname);

export interface Suite {
  readonly title: string;
  /** From the repository's root. */
  readonly files: () => readonly string[];
  /** Files at a time. */
  readonly concurrency: number;
  /** Of a file. */
  readonly timeoutMs: number;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const MINUTE_MS = 60_000;

const isBoundary = (file: string) => file.endsWith(".boundary.test.ts");
const isCluster = (file: string) => file.endsWith(".cluster.test.ts");
/** Has operator, agent or kubelet for itself: it kills, replaces or configures them. */
const isDisruptive = (file: string) => file.endsWith(".disruptive.cluster.test.ts");

/** Of those that run two at a time, in this order before all others: one that is long and last would run alone. */
const LONGEST = ["guest-agent", "state-changes", "storage", "debian", "storage-crash", "launcher-faults"].map(
  (name) => `test/e2e/${name}.cluster.test.ts`,
);

/** These wait for an idle CPU, which there is none of while unit tests run beside the first of the disruptive. */
const LAST = ["configuration", "cpu-burst"].map((name) => `test/e2e/${name}.disruptive.cluster.test.ts`);

export const SUITES = {
  unit: {
    title: "unit",
    files: () => tests((file) => !isBoundary(file) && !isCluster(file)),
    concurrency: 2,
    timeoutMs: 5 * MINUTE_MS,
  },
  boundary: {
    title: "boundary",
    files: () => tests(isBoundary),
    concurrency: 1,
    timeoutMs: 10 * MINUTE_MS,
  },
  disruptive: {
    title: "cluster, one at a time",
    files: () => ordered(tests(isDisruptive), { last: LAST }),
    concurrency: 1,
    timeoutMs: 15 * MINUTE_MS,
  },
  shared: {
    title: "cluster, two at a time",
    files: () =>
      ordered(
        tests((file) => isCluster(file) && !isDisruptive(file)),
        { first: LONGEST },
      ),
    concurrency: 2,
    timeoutMs: 15 * MINUTE_MS,
  },
} satisfies Readonly<Record<string, Suite>>;

export type SuiteName = keyof typeof SUITES;

export function isSuiteName(name: string): name is SuiteName {
  return Object.hasOwn(SUITES, name);
}

/** @throws Error where there are none: a green run of no tests says nothing */
function tests(isWanted: (file: string) => boolean): readonly string[] {
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.test.ts"], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .split("\n")
    .filter((file) => file !== "" && isWanted(file))
    .sort();
  if (files.length === 0) throw new Error("no tests were found");
  return files;
}

/** @throws Error where one that is named is not there: then its place is of no use */
function ordered(
  files: readonly string[],
  { first = [], last = [] }: { readonly first?: readonly string[]; readonly last?: readonly string[] },
): readonly string[] {
  const named = [...first, ...last];
  const missing = named.filter((file) => !files.includes(file));
  if (missing.length > 0) throw new Error(`there is no ${missing.join(", ")}`);
  return [...first, ...files.filter((file) => !named.includes(file)), ...last];
}
