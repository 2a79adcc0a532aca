/** `virtpod screenshot NAME FILE`: what a guest's screen shows, as a PNG. */
import { writeFile } from "node:fs/promises";
import { type ClusterFlags, clusterOf } from "../cluster.ts";
import { CliError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { getBytes } from "../request.ts";
import { subresourcePath } from "../subresource.ts";

export interface ScreenshotFlags extends ClusterFlags {
  /** `-` for standard output. */
  readonly file: string;
  readonly moveCursor?: boolean;
}

/** PNG (Third Edition), 5.2. */
const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** @throws CliError */
export async function screenshot(name: string, flags: ScreenshotFlags): Promise<void> {
  const cluster = clusterOf(flags);
  const { namespace } = cluster;
  const subresource = "vnc/screenshot";
  const path = subresourcePath({ namespace, resource: "virtualmachineinstances", name, subresource });
  const query = flags.moveCursor === true ? "?moveCursor=true" : "";
  const picture = await withProgress(
    `taking a screenshot of ${namespace}/${name}`,
    getBytes(cluster, path + query),
  );
  if (!picture.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw new CliError(`the answer for the screen of ${namespace}/${name} is no PNG`);
  if (flags.file === "-") {
    process.stdout.write(picture);
    return;
  }
  await writeFile(flags.file, picture).catch((cause: Error) => {
    throw new CliError(`can't write the screenshot: ${cause.message}`, { cause });
  });
}
