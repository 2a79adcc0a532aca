import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { FakeApiServer } from "../../kube/fake/server.ts";
import { fakeClient } from "../../kube/fake/transport.ts";
import { silentLogger } from "../../kube/logger.ts";
import { KubeMetrics } from "../../kube/metrics.ts";
import { mergePatch } from "../../kube/request.ts";
import { CONFIG_MAPS } from "../../kube/resources.ts";
import type { FrontProxyTrust } from "./caller.ts";
import { readTrust, watchTrust } from "./trust.ts";

const NAME = "extension-apiserver-authentication";
const DATA = {
  "client-ca-file": "of clients",
  "requestheader-client-ca-file": "old",
  "requestheader-allowed-names": '["front-proxy-client"]',
};

interface Watched {
  /** What the watcher told. */
  readonly told: FrontProxyTrust[];
  readonly server: FakeApiServer;
  /** Resolves once the watcher has seen it. */
  readonly change: (data: Readonly<Record<string, string | null>>) => Promise<void>;
  /** Resolves once the watcher has seen it. */
  readonly replace: (data: Readonly<Record<string, string>>) => Promise<void>;
}

async function watched(t: TestContext): Promise<Watched> {
  const server = new FakeApiServer({ resources: [CONFIG_MAPS] });
  const client = fakeClient(server);
  const configMaps = client.resource(CONFIG_MAPS).namespace("kube-system");
  await configMaps.create({ metadata: { name: NAME }, data: DATA });
  const told: FrontProxyTrust[] = [];
  const informer = watchTrust(
    { client, logger: silentLogger, metrics: new KubeMetrics() },
    await readTrust(client),
    (trust) => told.push(trust),
  );
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  await informer.waitForSync(stop.signal);
  const seen = ({ metadata }: { readonly metadata: { readonly resourceVersion: string } }) =>
    informer.waitForVersion(metadata.resourceVersion);
  return {
    told,
    server,
    change: async (data) => seen(await configMaps.patch(NAME, mergePatch({ data }))),
    replace: async (data) => {
      await configMaps.delete(NAME);
      await seen(await configMaps.create({ metadata: { name: NAME }, data }));
    },
  };
}

describe("the trust in the front proxy", () => {
  it("follows the ConfigMap from one authority to both and to the other", async (t) => {
    const { told, change } = await watched(t);
    await change({ "requestheader-client-ca-file": "old\nnew" });
    await change({ "requestheader-client-ca-file": "new", "requestheader-allowed-names": "[]" });
    assert.deepEqual(
      told.map(({ clientCa, allowedNames }) => [clientCa, allowedNames]),
      [
        ["old\nnew", ["front-proxy-client"]],
        ["new", []],
      ],
    );
  });

  it("is not told anew when it begins, or when something else in the ConfigMap has changed", async (t) => {
    const { told, change } = await watched(t);
    await change({ "client-ca-file": "other clients" });
    assert.deepEqual(told, []);
  });

  it("stays as it was while the ConfigMap tells of none, and goes on afterwards", async (t) => {
    const { told, change } = await watched(t);
    await change({ "requestheader-client-ca-file": null });
    await change({ "requestheader-client-ca-file": "old", "requestheader-allowed-names": "no JSON" });
    assert.deepEqual(told, []);
    await change({ "requestheader-client-ca-file": "new", "requestheader-allowed-names": "[]" });
    assert.deepEqual(told.length, 1);
  });

  it("stays as it was when the ConfigMap is made anew, unless it says otherwise", async (t) => {
    const { told, replace } = await watched(t);
    await replace(DATA);
    assert.deepEqual(told, []);
    await replace({ ...DATA, "requestheader-client-ca-file": "new" });
    assert.deepEqual(
      told.map(({ clientCa }) => clientCa),
      ["new"],
    );
  });

  it("is asked for by its one name: more than that the operator may not list", async (t) => {
    const { server } = await watched(t);
    const asked = server.requests.filter(({ method, path }) => method === "GET" && path.includes("?"));
    assert.ok(asked.length > 0);
    for (const { path } of asked) {
      const { pathname, searchParams } = new URL(path, "http://fake");
      assert.equal(pathname, "/api/v1/namespaces/kube-system/configmaps");
      assert.equal(searchParams.get("fieldSelector"), `metadata.name=${NAME}`);
    }
  });
});
