/** The command line as Go's pflag takes it, turned into what commander takes. Pure. */
import type { Command, Option } from "commander";
import { CliError } from "./errors.ts";

/**
 * pflag knows `--force=true` for a flag without a value, and `-l=me` for `-l me`; scripts written for virtctl use both.
 * What follows `--` is left alone.
 * @throws CliError for `--force=maybe`
 */
export function normalArguments(args: readonly string[], program: Command): string[] {
  const switches = switchesOf(program);
  const end = args.indexOf("--");
  const ours = end === -1 ? args : args.slice(0, end);
  const rest = end === -1 ? [] : args.slice(end);
  return [...ours.flatMap((argument) => normal(argument, switches)), ...rest];
}

function normal(argument: string, switches: ReadonlySet<string>): string[] {
  const equals = argument.indexOf("=");
  if (equals === -1) return [argument];
  const flag = argument.slice(0, equals);
  const value = argument.slice(equals + 1);
  if (switches.has(flag)) {
    if (["true", "1", "t"].includes(value.toLowerCase())) return [flag];
    const negated = flag.replace("--", "--no-");
    if (["false", "0", "f"].includes(value.toLowerCase())) return switches.has(negated) ? [negated] : [];
    throw new CliError(`${flag} takes true or false, not ${value || "nothing"}`);
  }
  return /^-[a-zA-Z]$/.test(flag) ? [flag, value] : [argument];
}

/** Flags that take a value in no command. */
function switchesOf(program: Command): Set<string> {
  const options = optionsOf(program);
  const flags = (some: readonly Option[]) => some.flatMap(({ long, short }) => [long, short]);
  const valued = new Set(flags(options.filter(({ required, optional }) => required || optional)));
  const bare = flags(options.filter(({ required, optional }) => !required && !optional));
  return new Set(bare.filter((flag) => flag !== undefined && flag !== null && !valued.has(flag)) as string[]);
}

function optionsOf(command: Command): readonly Option[] {
  return [...command.options, ...command.commands.flatMap(optionsOf)];
}
