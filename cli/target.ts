/** What a command is about, as virtctl writes it: `[user@]type/name[/namespace]`. Pure. */
import { CliError } from "./errors.ts";
import type { Subresource } from "./subresource.ts";

export interface Target {
  readonly kind: "vm" | "vmi";
  readonly name: string;
  /** Absent where the command line doesn't name one. */
  readonly namespace?: string;
}

const KINDS: Readonly<Record<string, Target["kind"]>> = {
  vm: "vm",
  vms: "vm",
  virtualmachine: "vm",
  virtualmachines: "vm",
  vmi: "vmi",
  vmis: "vmi",
  virtualmachineinstance: "vmi",
  virtualmachineinstances: "vmi",
};

/** In any case, singular or plural. @throws CliError */
export function parseKind(text: string): Target["kind"] {
  const kind = KINDS[text.toLowerCase()];
  if (kind === undefined) throw new CliError(`there is no type ${text}: write vm or vmi`);
  return kind;
}

/** A name alone is a running machine's. @throws CliError */
export function parseTarget(text: string): Target {
  const parts = text.split("/");
  const [first = "", name, namespace] = parts;
  if (parts.length === 1 && first !== "") return { kind: "vmi", name: first };
  if (name === undefined || name === "" || namespace === "" || parts.length > 3)
    throw new CliError(`${text || "an empty word"} names no machine: write vm/NAME or vm/NAME/NAMESPACE`);
  return { kind: parseKind(first), name, ...(namespace !== undefined && { namespace }) };
}

export interface Login {
  readonly user?: string;
  readonly target: Target;
}

/** @throws CliError */
export function parseLogin(text: string): Login {
  const at = text.lastIndexOf("@");
  if (at === 0) throw new CliError(`${text} names no user before its @`);
  const target = parseTarget(text.slice(at + 1));
  return at === -1 ? { target } : { user: text.slice(0, at), target };
}

export function resourceOf(kind: Target["kind"]): Subresource["resource"] {
  return kind === "vm" ? "virtualmachines" : "virtualmachineinstances";
}
