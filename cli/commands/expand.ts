/** `virtpod expand`: a virtual machine with what its instance type and preference add; there are none yet, so as it is. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { parse, stringify } from "yaml";
import { SUBRESOURCES_GROUP } from "../../api/names.ts";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { getJson, sendJson } from "../request.ts";
import { subresourcePath } from "../subresource.ts";

export interface ExpandFlags extends ClusterFlags {
  readonly vm?: string;
  /** `-` for standard input. */
  readonly file?: string;
  readonly output: "yaml" | "json";
}

/** @throws CliError */
export async function expand({ vm, file, output, ...flags }: ExpandFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const { namespace } = cluster;
  if (vm === undefined && file === undefined)
    throw new CliError("say which machine: --vm NAME of the cluster's, or --file FILE with its manifest");
  const subresource = "expand-spec";
  const asked =
    vm !== undefined
      ? getJson(cluster, subresourcePath({ namespace, resource: "virtualmachines", name: vm, subresource }))
      : sendJson(
          cluster,
          "PUT",
          `/apis/${SUBRESOURCES_GROUP}/v1/namespaces/${encodeURIComponent(namespace)}/expand-vm-spec`,
          await manifestIn(file ?? "-"),
        );
  const expanded = await withProgress("expanding the machine", asked);
  process.stdout.write(
    output === "json" ? `${JSON.stringify(expanded, null, 2)}\n` : stringify(expanded, { version: "1.1" }),
  );
}

async function manifestIn(file: string): Promise<object> {
  try {
    const manifest = parse(
      file === "-" ? await text(process.stdin) : await readFile(file, "utf8"),
    ) as unknown;
    if (typeof manifest !== "object" || manifest === null) throw new Error("it holds no object");
    return manifest;
  } catch (cause) {
    throw new CliError(`the manifest ${file} can't be read: ${(cause as Error).message}`, { cause });
  }
}
