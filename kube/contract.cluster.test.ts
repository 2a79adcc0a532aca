import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";
import { describeContract } from "./fake/contract.ts";
import { Informer } from "./informer.ts";
import { describe, type KubeObject, resourceName } from "./objects.ts";
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SERVICE_ACCOUNTS } from "./resources.ts";

const LATE_KIND = describe<KubeObject>({
  group: "contract.example.com",
  version: "v1",
  plural: `lates${randomBytes(4).toString("hex")}`,
  kind: "Late",
  namespaced: false,
});

const kubeconfig = fileURLToPath(new URL("../.cluster/kubeconfig", import.meta.url));
const skip = existsSync(kubeconfig)
  ? false
  : "there is no cluster: .cluster/kubeconfig is missing; run make cluster-up";

describeContract(
  "the cluster's API server",
  async () => {
    const client: Client = await connect({ environment: {}, kubeconfig, userAgent: "virtpod-contract" });
    const namespace = `contract-${randomBytes(4).toString("hex")}`;
    await client.resource(NAMESPACES).create({ metadata: { name: namespace } });
    await waitForServiceAccount(client, namespace);
    await makeLateKind(client);
    return {
      client,
      namespace,
      forgotten: LATE_KIND,
      close: async () => {
        await client.resource(CUSTOM_RESOURCE_DEFINITIONS).delete(resourceName(LATE_KIND));
        await client.resource(NAMESPACES).delete(namespace);
        await client.close();
      },
    };
  },
  skip,
);

/**
 * A kind that is younger than version 1: the server's watch cache begins with the definition.
 * The cache of a built-in kind may begin with version 1 itself, on a cluster that has just started.
 */
async function makeLateKind(client: Client): Promise<void> {
  const { group, version, plural, kind } = LATE_KIND;
  const definitions = client.resource(CUSTOM_RESOURCE_DEFINITIONS);
  await definitions.create({
    metadata: { name: resourceName(LATE_KIND) },
    spec: {
      group,
      names: { plural, kind },
      scope: "Cluster",
      versions: [
        { name: version, served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
      ],
    },
  });
  await untilServed(client);
}

/** The handler begins to serve a kind a moment after its definition is established; an informer asks again. */
async function untilServed(client: Client): Promise<void> {
  const stop = new AbortController();
  const informer = new Informer({ resource: client.resource(LATE_KIND) });
  const running = informer.run(stop.signal);
  await informer.waitForSync(AbortSignal.timeout(30_000));
  stop.abort();
  await running;
}

/** Pods are refused until the controller manager has made the namespace's default service account. */
async function waitForServiceAccount(client: Client, namespace: string): Promise<void> {
  const accounts = client.resource(SERVICE_ACCOUNTS).namespace(namespace);
  for await (const event of accounts.watch({ resourceVersion: "0", signal: AbortSignal.timeout(30_000) })) {
    if (event.type === "ADDED" && event.object.metadata.name === "default") {
      return;
    }
  }
}
