/** `virtpod version`: this program's, and the operator's. */
import { SUBRESOURCES_GROUP } from "../../api/names.ts";
import { VERSION } from "../../api/version.ts";
import type { ClusterFlags } from "../cluster.ts";

export interface VersionFlags extends ClusterFlags {
  readonly client?: boolean;
  readonly output?: "json";
}

/** @throws CliError when the operator can't be asked; this program's version is printed by then */
export async function version({ client, output, ...flags }: VersionFlags): Promise<void> {
  const clientVersion = { gitVersion: `v${VERSION}`, platform: `${process.platform}/${process.arch}` };
  if (output !== "json") process.stdout.write(`Client Version: ${VERSION}\n`);
  if (client === true) {
    if (output === "json") process.stdout.write(`${JSON.stringify({ clientVersion }, null, 2)}\n`);
    return;
  }
  const [{ clusterOf }, { getJson }, { withProgress }] = await Promise.all([
    import("../cluster.ts"),
    import("../request.ts"),
    import("../progress.ts"),
  ]);
  const asked = getJson(clusterOf(flags), `/apis/${SUBRESOURCES_GROUP}/v1/version`);
  const serverVersion = (await withProgress("asking the operator", asked)) as {
    readonly gitVersion?: string;
  };
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify({ clientVersion, serverVersion }, null, 2)}\n`
      : `Server Version: ${serverVersion.gitVersion?.replace(/^v/, "") ?? "unknown"}\n`,
  );
}
