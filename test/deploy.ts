/**
 * `make deploy`: builds the images, brings them to the cluster and installs the chart with helm.
 * With REGISTRY set the images are pushed there, else they are loaded into the development cluster's node.
 */
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { kubeconfigPath, ROOT } from "./harness/cluster.ts";
import { clusterTool, runVisible } from "./harness/command.ts";

const NAMESPACE = "virtpod";
const registry = process.env["REGISTRY"];
const env = { ...process.env, KUBECONFIG: kubeconfigPath() };

runVisible("node", ["images/bundle.ts"]);
const tag = contentTag();
const image = `${registry ?? "localhost/virtpod"}`;
runVisible("node", ["images/build.ts", "--registry", image, "--tag", tag, "virtpod", "virtpod-launcher"]);
runVisible("node", ["images/build.ts", "--registry", image, "virtpod-guest-tiny"]);
if (registry === undefined) {
  const archives = ["virtpod", "virtpod-launcher", "virtpod-guest-tiny"].map(
    (name) => `build/images/${name}.tar`,
  );
  runVisible("./cluster/image-load", archives);
} else {
  runVisible("node", ["images/push.ts", registry]);
}
const helm = clusterTool("helm");
const arguments_ = [
  "upgrade",
  "--install",
  "virtpod",
  "charts/virtpod",
  "--namespace",
  NAMESPACE,
  "--create-namespace",
  "--set-string",
  `image.registry=${image},image.tag=${tag}`,
  "--set",
  "useEmulation=true",
  // The chart's word counts, whatever a test that was killed has left scaled or patched.
  "--force-conflicts",
  "--wait",
  "--timeout",
  "5m",
];
runVisible(helm, arguments_, env);

/** Names the images by what is in them, so that helm rolls pods out exactly when something changed. */
function contentTag(): string {
  const hash = createHash("sha256");
  const files = [...globSync("dist/*", { cwd: ROOT }), ...globSync("images/*.ts", { cwd: ROOT })].sort();
  // What lies in a folder below it is the command line's, which is in no image.
  for (const file of files.filter((name) => name.includes(".") && !name.endsWith(".map")))
    hash.update(readFileSync(join(ROOT, file)));
  return hash.digest("hex").slice(0, 12);
}
