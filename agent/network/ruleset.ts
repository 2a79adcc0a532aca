/**
 * Rules of nftables as data, and as the text and the keys that they are loaded and recognised by. Pure. Every rule has
 * a comment, by which it is told from others when it is read back, and its counter found.
 */
import { createHash } from "node:crypto";

/** Of every family; whatever stands in it is ours. */
export const GUARD_TABLE = "virtpod";

export const DROP = "counter drop";
export const ACCEPT = "counter accept";

export interface Rule {
  readonly rule: string;
  readonly comment: string;
  /** The chain that it leads to, which comes into the set with it. */
  readonly leadsTo?: Chain;
}

export type Family = "bridge" | "ip" | "ip6";

export interface Chain {
  readonly family: Family;
  readonly name: string;
  /** Of a base chain only: where in the packet's way it stands. */
  readonly hook?: { readonly type: "filter" | "nat"; readonly name: string; readonly priority: number };
  readonly rules: readonly Rule[];
}

export interface Ruleset {
  /** For `nft -f`: replaces all of ours in one transaction, so there is no moment without it. */
  readonly text: string;
  /**
   * The same for a namespace that has none of ours yet, and fails in any other. The kernel waits for nobody to read the
   * old rules before it is done with a deletion (synchronize_rcu), even where there was nothing to delete: 10 ms.
   */
  readonly creation: string;
  /** `family chain comment` of every rule, in their order. */
  readonly keys: readonly string[];
}

/**
 * The chains as one set whose rules carry its version, so that an older set is never taken for this one. Chains of the
 * same family and name become one.
 */
export function rulesetOf(all: readonly Chain[]): Ruleset {
  const chains = merged(all);
  const version = createHash("sha256").update(render(chains, replacing)).digest("hex").slice(0, 16);
  const versioned = chains.map((chain) => ({
    ...chain,
    rules: chain.rules.map((rule) => ({ ...rule, comment: `${rule.comment} ${version}` })),
  }));
  return {
    text: render(versioned, replacing),
    creation: render(versioned, creating),
    keys: versioned.flatMap(({ family, name, rules }) =>
      rules.map((rule) => key(family, name, rule.comment)),
    ),
  };
}

function merged(all: readonly Chain[]): readonly Chain[] {
  const chains = all.flatMap((chain) => [chain, ...chain.rules.flatMap(({ leadsTo }) => leadsTo ?? [])]);
  const byName = Map.groupBy(chains, ({ family, name }) => `${family} ${name}`);
  return [...byName.values()].flatMap(([first, ...others]) =>
    first === undefined ? [] : [{ ...first, rules: [first, ...others].flatMap(({ rules }) => rules) }],
  );
}

export function dispatch(match: "iifname" | "oifname", link: string, chain: string): Rule {
  return { rule: `${match} "${link}" goto ${chain}`, comment: chain };
}

/** Group of NFLOG (nfnetlink_log) that the agent hears, in the pod's namespace. */
export const REFUSED_GROUP = 75;
/** So that a guest that floods costs the agent nothing; the counters count all. */
const TOLD = "limit rate 6/minute burst 3 packets";
/** Headers of Ethernet, IPv6 and ICMPv6 with the address that it is about. */
const TOLD_BYTES = 96;

/** Drops frames of a guest that only a broken or hostile one sends, and tells the agent `<link> <comment>`. */
export function refused(link: string, match: string, comment: string): Rule {
  const name = `${link}-${comment}`;
  const log = `log prefix "${link} ${comment}" group ${REFUSED_GROUP} snaplen ${TOLD_BYTES}`;
  const rules = [
    { rule: `${TOLD} ${log}`, comment: "told" },
    { rule: DROP, comment: "dropped" },
  ];
  return {
    rule: `${match} counter goto ${name}`.trimStart(),
    comment,
    leadsTo: { family: "bridge", name, rules },
  };
}

/** Adding before deleting makes the deletion succeed where there is nothing yet. */
const replacing = (table: string): string => `add ${table}\ndelete ${table}\n`;
const creating = (table: string): string => `create ${table}\n`;

function render(chains: readonly Chain[], prelude: (table: string) => string): string {
  const families = [...new Set(chains.map(({ family }) => family))];
  return families
    .map((family) => {
      const bodies = chains.filter((chain) => chain.family === family).map(renderChain);
      const table = `table ${family} ${GUARD_TABLE}`;
      return `${prelude(table)}${table} {\n${bodies.join("")}}\n`;
    })
    .join("");
}

function renderChain({ name, hook, rules }: Chain): string {
  const head =
    hook === undefined
      ? ""
      : `    type ${hook.type} hook ${hook.name} priority ${hook.priority}; policy accept;\n`;
  const lines = rules.map(({ rule, comment }) => `    ${rule} comment "${comment}"\n`);
  return `  chain ${name} {\n${head}${lines.join("")}  }\n`;
}

function key(family: string, chain: string, comment: string): string {
  return `${family} ${chain} ${comment}`;
}

/** Whether exactly these rules stand, in each chain in this order; tables and chains come in any. */
export function isLoaded(ruleset: Ruleset, loaded: readonly LoadedRule[]): boolean {
  const byChain = (keys: readonly string[]) =>
    keys.toSorted((a, b) => chainOf(a).localeCompare(chainOf(b))).join("\n");
  return byChain(ruleset.keys) === byChain(loaded.map((rule) => rule.key));
}

function chainOf(ruleKey: string): string {
  return ruleKey.split(" ", 2).join(" ");
}

export interface LoadedRule {
  readonly key: string;
  readonly family: string;
  readonly chain: string;
  /** The rule's comment without the ruleset's version: `foreign-mac`. */
  readonly name: string;
  /** Undefined for a rule without a counter. */
  readonly packets: number | undefined;
  readonly bytes: number | undefined;
  /** What it counts passes no further: it is dropped here, or logged and dropped in the chain that it goes to. */
  readonly drops: boolean;
}

/** Reads `nft --json list ruleset`: the guard's rules in their order. */
export function parseLoadedRules(json: string): readonly LoadedRule[] {
  const parsed: unknown = JSON.parse(json);
  const entries: readonly unknown[] =
    isRecord(parsed) && Array.isArray(parsed["nftables"]) ? parsed["nftables"] : [];
  return entries.flatMap((entry) => {
    const rule = isRecord(entry) ? entry["rule"] : undefined;
    if (!isRecord(rule) || rule["table"] !== GUARD_TABLE) return [];
    const [family, chain, comment] = [rule["family"], rule["chain"], rule["comment"]].map(String);
    if (family === undefined || chain === undefined || comment === undefined) return [];
    const name = comment.slice(0, comment.lastIndexOf(" "));
    const expressions: readonly unknown[] = Array.isArray(rule["expr"]) ? rule["expr"] : [];
    const counter = expressions
      .filter(isRecord)
      .map((expression) => expression["counter"])
      .find(isRecord);
    return [
      {
        key: key(family, chain, comment),
        family,
        chain,
        name,
        packets: counter && Number(counter["packets"]),
        bytes: counter && Number(counter["bytes"]),
        drops: counter !== undefined && expressions.some(isRefusal),
      },
    ];
  });
}

function isRefusal(expression: unknown): boolean {
  return isRecord(expression) && ("drop" in expression || "goto" in expression);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
