/** What every benchmark has: a run that gives a report, and the promises that its figures are held to. */
import type { Client } from "../kube/client.ts";
import type { Progress } from "./progress.ts";

/** What a benchmark has that needs no cluster. */
export interface LocalContext {
  readonly progress: Progress;
  /** Samples of each figure that is a median. */
  readonly runs: number;
  /** Does harm that the meters must see: the control run. */
  readonly sabotage: boolean;
}

export interface BenchContext extends LocalContext {
  /** Of a cluster where virtpod runs. */
  readonly client: Client;
}

/** Bounded on one side: most figures are better the smaller they are, ratios to something else the larger. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

export type PromisedFigure<Report> = Bound & {
  readonly name: string;
  readonly unit: string;
  readonly figure: (report: Report) => number;
};

export interface Bench<Report, Context extends LocalContext = BenchContext> {
  readonly name: string;
  readonly promises: readonly PromisedFigure<Report>[];
  run(context: Context): Promise<Report>;
}

export interface Verdict {
  readonly name: string;
  readonly isKept: boolean;
  /** "overhead: 1.21 s, at most 1.5 s". */
  readonly text: string;
}

export function judge<Report>(promises: readonly PromisedFigure<Report>[], report: Report): Verdict[] {
  return promises.map((promise) => {
    const { name, unit, figure } = promise;
    const value = figure(report);
    // Not `value > atMost`: a figure that is not a number keeps no promise.
    const [isKept, bound] =
      "atMost" in promise
        ? [value <= promise.atMost, `at most ${promise.atMost}`]
        : [value >= promise.atLeast, `at least ${promise.atLeast}`];
    const told = (text: string | number) => `${text} ${unit}`.trimEnd();
    return { name, isKept, text: `${name}: ${told(Number(value.toFixed(2)))}, ${told(bound)}` };
  });
}
