/** Answers a shell's question what the last word may become. Whatever goes wrong: a person who types is not to be disturbed. */
import type { Command } from "commander";
import { KUBEVIRT_GROUP, KUBEVIRT_VERSION } from "../../api/names.ts";
import type { ClusterFlags } from "../cluster.ts";
import { candidates, type NameKind } from "../completion.ts";
import { printable } from "../table.ts";
import { resourceOf } from "../target.ts";

/** Nobody looks through more. */
const MAX_NAMES = 500;

export async function complete(program: Command, words: readonly string[]): Promise<void> {
  const { names, namespace, words: fitting } = candidates(program, words);
  const last = words.at(-1) ?? "";
  const lines = fitting.map(([word, meaning]) => (meaning === "" ? word : `${word}\t${meaning}`));
  if (names !== undefined) {
    const flags = { ...program.opts<ClusterFlags>(), ...(namespace !== undefined && { namespace }) };
    const found = await namesOf(names.kind, flags).catch(() => []);
    lines.push(...found.map((name) => `${names.prefix}${name}`).filter((name) => name.startsWith(last)));
  }
  for (const line of lines) process.stdout.write(`${line.split("\t").map(printable).join("\t")}\n`);
}

async function namesOf(kind: NameKind, flags: ClusterFlags): Promise<readonly string[]> {
  const [{ clusterOf }, { getJson }] = await Promise.all([import("../cluster.ts"), import("../request.ts")]);
  const cluster = clusterOf(flags);
  const path =
    kind === "namespace"
      ? "/api/v1/namespaces"
      : `/apis/${KUBEVIRT_GROUP}/${KUBEVIRT_VERSION}/namespaces/${encodeURIComponent(cluster.namespace)}/${resourceOf(kind)}`;
  const { items } = (await getJson(cluster, `${path}?limit=${MAX_NAMES}`)) as {
    readonly items: readonly { readonly metadata: { readonly name: string } }[];
  };
  return items.map(({ metadata }) => metadata.name);
}
