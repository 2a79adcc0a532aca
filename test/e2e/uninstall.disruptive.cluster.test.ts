/** The chart's end. Disturbs the deployment: uninstalls it and installs it again, as it was. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Client } from "../../kube/client.ts";
import type { KubeObject, ResourceDescriptor } from "../../kube/objects.ts";
import { API_SERVICES, NAMESPACES, PODS } from "../../kube/resources.ts";
import { connectCluster, kubeconfigPath, makeNamespace, untilGone } from "../harness/cluster.ts";
import { capture, clusterTool, interact } from "../harness/command.ts";
import { Subresources } from "../harness/subresource.ts";
import { systemPods, untilServed } from "../harness/system.ts";

const RELEASE = "virtpod";
const API_SERVICE = "v1.subresources.kubevirt.io";
const GONE_MS = 60_000;

const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
const helm = (...args: readonly string[]) =>
  capture(clusterTool("helm"), [...args, "--namespace", RELEASE], env);

describe("an uninstalled chart", { concurrency: 1 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "virtpod-values-"));
  const values = join(folder, "values.json");
  let client: Client;

  before(async () => {
    client = await connectCluster();
    writeFileSync(values, helm("get", "values", RELEASE, "--output", "json"));
  });
  after(async () => {
    helm("upgrade", "--install", RELEASE, "charts/virtpod", "--values", values, "--wait", "--timeout", "3m");
    await untilServed(client);
    rmSync(folder, { recursive: true });
    await client.close();
  });

  it("takes its API from the API server before those who serve it", async () => {
    const [operator] = await systemPods(client, "virtpod-operator");
    assert.ok(operator !== undefined);
    const ends = [
      endOf(client, API_SERVICES, { name: API_SERVICE }),
      endOf(client, PODS, { name: operator.metadata.name, namespace: RELEASE }),
    ] as const;
    assert.equal(
      await interact(clusterTool("helm"), ["uninstall", RELEASE, "-n", RELEASE, "--wait"], env).ended,
      0,
    );
    const [api, pod] = await Promise.all(ends);
    // Versions of one etcd count its writes, in their order.
    assert.ok(api < pod, `the API went at ${api}, its operator at ${pod}`);
  });

  it("holds up neither discovery nor the deletion of namespaces", async () => {
    const api = new Subresources("default");
    assert.equal((await api.askAt("GET", "/apis/subresources.kubevirt.io/v1")).status, 404);
    const name = await makeNamespace(client, "after-uninstall");
    await client.resource(NAMESPACES).delete(name);
    await untilGone(client, NAMESPACES, { name, timeoutMs: GONE_MS });
  });
});

/** The version at which the object was deleted, or told to go. @throws Error when it stays */
async function endOf<T extends KubeObject>(
  client: Client,
  kind: ResourceDescriptor<T>,
  { name, namespace }: { readonly name: string; readonly namespace?: string },
): Promise<bigint> {
  const resource = client.resource(kind).namespace(namespace);
  const fieldSelector = `metadata.name=${name}`;
  const { resourceVersion } = await resource.list({ fieldSelector });
  const signal = AbortSignal.timeout(GONE_MS);
  for await (const event of resource.watch({ fieldSelector, resourceVersion, signal })) {
    if (event.type === "BOOKMARK") continue;
    const { deletionTimestamp, resourceVersion: version } = event.object.metadata;
    if (event.type === "DELETED" || deletionTimestamp !== undefined) return BigInt(version ?? 0);
  }
  throw new Error(`${kind.kind} ${name} was still there after ${GONE_MS} ms`);
}
