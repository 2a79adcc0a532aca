/** What the doctor finds. */
import type { Facts } from "./facts.ts";

/** Part of what the doctor looks at; undefined for what is well. */
export type Examination = (facts: Facts) => readonly (Finding | undefined)[];

export interface Finding {
  /** error: it keeps the machine from running. warning: it may. */
  readonly level: "error" | "warning" | "note";
  /** For programs. */
  readonly code: string;
  /** What is the matter, on which object. */
  readonly what: string;
  /** What to do about it. */
  readonly todo?: string;
}
