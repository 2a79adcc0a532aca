/** What a half-typed command line may become, and the shells' scripts that ask for it. Pure. */
import type { Command, Option } from "commander";
import { CliError } from "./errors.ts";

/** Names that only the cluster knows. */
export type NameKind = "vm" | "vmi" | "namespace";

export interface Candidates {
  /** With what they mean; only those that begin as the last word does. */
  readonly words: readonly (readonly [word: string, meaning: string])[];
  /** Names to add, each after the prefix. */
  readonly names?: { readonly kind: NameKind; readonly prefix: string };
  /** As far as the words before say. */
  readonly namespace?: string;
}

/** Commands that are about a VM, also one that isn't running. */
const ABOUT_VMS: readonly string[] = ["start", "stop", "restart", "doctor"];

/** @param words all after the program's name, the half-typed one last */
export function candidates(program: Command, words: readonly string[]): Candidates {
  const last = words.at(-1) ?? "";
  const { command, flag, namespace, positions } = walk(program, words.slice(0, -1));
  const found = flag !== undefined ? valuesOf(flag) : wordsAt(command, positions, last);
  const fitting = found.words.filter(([word]) => word.startsWith(last));
  return {
    words: fitting,
    ...(found.names !== undefined && { names: found.names }),
    ...(namespace !== undefined && { namespace }),
  };
}

interface Place {
  readonly command: Command;
  /** That wants a value next. */
  readonly flag: Option | undefined;
  readonly namespace: string | undefined;
  readonly positions: readonly string[];
}

function walk(program: Command, words: readonly string[]): Place {
  let command = program;
  let flag: Option | undefined;
  let namespace: string | undefined;
  const positions: string[] = [];
  for (const word of words) {
    if (flag !== undefined) {
      if (flag.long === "--namespace") namespace = word;
      flag = undefined;
    } else if (word.startsWith("-")) {
      const [name = "", value] = word.split("=", 2);
      const option = optionsOf(command).find(({ long, short }) => name === long || name === short);
      if (option?.long === "--namespace" && value !== undefined) namespace = value;
      if (option?.required && value === undefined) flag = option;
    } else {
      const inner = positions.length === 0 ? visible(command).find((one) => one.name() === word) : undefined;
      if (inner !== undefined) command = inner;
      else positions.push(word);
    }
  }
  return { command, flag, namespace, positions };
}

type Found = Pick<Candidates, "words" | "names">;

function valuesOf(flag: Option): Found {
  if (flag.long === "--namespace") return { words: [], names: { kind: "namespace", prefix: "" } };
  if (flag.long === "--vm") return { words: [], names: { kind: "vm", prefix: "" } };
  return { words: (flag.argChoices ?? []).map((choice) => [choice, ""] as const) };
}

function wordsAt(command: Command, positions: readonly string[], last: string): Found {
  if (last.startsWith("-"))
    return {
      words: optionsOf(command).flatMap(({ long, description, hidden }) =>
        long === undefined || long === null || hidden ? [] : [[long, description] as const],
      ),
    };
  const commands =
    positions.length === 0 ? visible(command).map((one) => [one.name(), one.description()] as const) : [];
  const { registeredArguments } = command;
  const rest = registeredArguments.at(-1);
  const argument = registeredArguments[positions.length] ?? (rest?.variadic === true ? rest : undefined);
  const names = argument === undefined ? {} : namesFor(command, argument.name(), positions, last);
  return { words: [...commands, ...(names.words ?? [])], ...(names.names && { names: names.names }) };
}

const TYPES = [
  ["vm", "virtual machine"],
  ["vmi", "virtual machine instance"],
] as const;

function namesFor(
  command: Command,
  argument: string,
  positions: readonly string[],
  last: string,
): Partial<Found> {
  const kind = ABOUT_VMS.includes(command.name()) ? "vm" : "vmi";
  switch (argument) {
    case "name": {
      const [type] = positions;
      return { names: { kind: type === "vm" ? "vm" : kind, prefix: "" } };
    }
    case "names":
      return { names: { kind, prefix: "" } };
    case "type-or-name":
      return { words: TYPES, names: { kind, prefix: "" } };
    case "type":
      return { words: TYPES };
    case "target":
    case "source":
    case "destination": {
      const [, user = "", type] = /^(.*@)?(?:(vmi?)\/)?/.exec(last) ?? [];
      if (type === undefined)
        return { words: TYPES.map(([word, meaning]) => [`${user}${word}/`, meaning] as const) };
      return { names: { kind: type === "vm" ? "vm" : "vmi", prefix: `${user}${type}/` } };
    }
    case "shell":
      return { words: ["bash", "zsh", "fish"].map((shell) => [shell, ""] as const) };
    default:
      return {};
  }
}

function visible(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== "help");
}

/** A command's own flags and those of all. */
function optionsOf(command: Command): readonly Option[] {
  return [...command.options, ...(command.parent === null ? [] : optionsOf(command.parent))];
}

const BASH = `# Completion of virtpod for bash.
_virtpod() {
  local line
  COMPREPLY=()
  # A colon or an equals sign parts bash's words, and not virtpod's.
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(virtpod __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ \${COMPREPLY[0]-} == */ ]] && compopt -o nospace
}
complete -o default -F _virtpod virtpod
`;

const ZSH = `#compdef virtpod
# Completion of virtpod for zsh.
_virtpod() {
  local -a found
  found=("\${(@f)$(virtpod __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found//:/\\\\:}")
  found=("\${(@)found/$'\\t'/:}")
  if (( \${#found} )) && [[ -n "\${found[1]}" ]]; then
    _describe -V virtpod found
  else
    _files
  fi
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then _virtpod "$@"; else compdef _virtpod virtpod; fi
`;

const FISH = `# Completion of virtpod for fish.
function __virtpod_complete
    set -l words (commandline -opc) (commandline -ct)
    virtpod __complete -- $words[2..-1] 2>/dev/null
end
# Files are for commands and flags that read or write some.
function __virtpod_takes_files
    string match -qr -- '^(scp|screenshot|expand|create|--kubeconfig|-i|--identity-file|--known-hosts)$' (commandline -opc)
end
complete -c virtpod -a '(__virtpod_complete)'
complete -c virtpod -n 'not __virtpod_takes_files' -f
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

/** @throws CliError for a shell that it isn't written for */
export function completionScript(shell: string): string {
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script === undefined)
    throw new CliError(
      `there is no completion for ${shell}: there is one for ${Object.keys(SCRIPTS).join(", ")}`,
    );
  return script;
}
