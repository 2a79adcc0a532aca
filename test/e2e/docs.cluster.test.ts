/** The manifests in the pages, as the API server takes them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { kubeconfigPath, ROOT } from "../harness/cluster.ts";

it("README.md's machine is valid, and what its console and wait commands name is what it makes", async () => {
  const page = await readFile(join(ROOT, "README.md"), "utf8");
  const [, manifest = ""] = /<<'VM'\n([\s\S]*?)\nVM\n/.exec(page) ?? [];
  const { status, stdout, stderr } = spawnSync(
    "kubectl",
    ["create", "--validate=strict", "--dry-run=server", "--output=name", "--filename=-"],
    { input: manifest, encoding: "utf8", env: { ...process.env, KUBECONFIG: kubeconfigPath() } },
  );
  assert.equal(status, 0, stderr);
  const name = /^virtualmachine\.kubevirt\.io\/(.+)$/m.exec(stdout)?.[1];
  assert.ok(page.includes(`kubectl wait vm/${name} `) && page.includes(`console ${name}\n`), stdout);
});
