import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";
import { describeContract } from "./fake/contract.ts";
import { NAMESPACES, SERVICE_ACCOUNTS } from "./resources.ts";

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
    return {
      client,
      namespace,
      close: async () => {
        await client.resource(NAMESPACES).delete(namespace);
        await client.close();
      },
    };
  },
  skip,
);

/** Pods are refused until the controller manager has made the namespace's default service account. */
async function waitForServiceAccount(client: Client, namespace: string): Promise<void> {
  const accounts = client.resource(SERVICE_ACCOUNTS).namespace(namespace);
  for await (const event of accounts.watch({ resourceVersion: "0", signal: AbortSignal.timeout(30_000) })) {
    if (event.type === "ADDED" && event.object.metadata.name === "default") {
      return;
    }
  }
}
