/** An answer on standard output: a table for a person, JSON for a program. */

export interface OutputFlag {
  /** Absent: a table on a terminal, JSON elsewhere. */
  readonly output?: "table" | "json";
}

export function print<T>(answer: T, table: (answer: T) => string, { output }: OutputFlag): void {
  const isForPeople = output === undefined ? process.stdout.isTTY === true : output === "table";
  process.stdout.write(isForPeople ? table(answer) : `${JSON.stringify(answer, null, 2)}\n`);
}
