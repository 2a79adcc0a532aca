/** What the declarations of all commands share. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ClusterFlags } from "../cluster.ts";

/** Adds a command whose help ends with examples; each is a line without the program's name. */
export function declare(
  parent: Command,
  usage: string,
  description: string,
  examples: readonly string[],
): Command {
  const lines = examples.map((example) => `  ${fullName(parent)} ${example}`);
  return parent
    .command(usage)
    .description(description)
    .addHelpText("after", ["", "Examples:", ...lines].join("\n"));
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** The flags of a command with those that all commands have. */
export function flagsOf<T extends ClusterFlags>(command: Command): T {
  return command.optsWithGlobals<T>();
}

/** `-o json`, and `table` for people. */
export function output(): Option {
  return new Option(
    "-o, --output <format>",
    "table or json; without it, a table on a terminal and JSON elsewhere",
  ).choices(["table", "json"]);
}

export function wholeSeconds(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError("whole seconds are needed, 0 or more");
  return value;
}

/** A TCP or UDP port; 0 has a meaning of its own where it is allowed. */
export function port(min: 0 | 1): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > 65_535)
      throw new InvalidArgumentError(`a port from ${min} to 65535 is needed`);
    return value;
  };
}

/** Collects a flag that may be given several times. */
export function each(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}
