/**
 * The installation's configuration, changed while everything runs: what is in force where, and what is refused.
 * Disturbs the deployment: changes its ConfigMap, and replaces the operator's pods.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CONFIG_KEY, CONFIG_MAP, CONFIG_MAP_IN_FORCE } from "../../api/configuration.ts";
import type { Client } from "../../kube/client.ts";
import { mergePatch } from "../../kube/request.ts";
import { CONFIG_MAPS, type ConfigMap, PODS } from "../../kube/resources.ts";
import { VIRTUAL_MACHINES } from "../../operator/kinds.ts";
import { kubeconfigPath, until } from "../harness/cluster.ts";
import { capture } from "../harness/command.ts";
import { Guests } from "../harness/guest.ts";
import { untilMeasured } from "../harness/metrics.ts";
import { SYSTEM, systemPods, untilSuccessor } from "../harness/system.ts";

const CHANGE_MS = 60_000;
const START_MS = 60_000;
/** A guest is throttled, and its quota follows, only while the node's CPUs are not busy with something else. */
const LOAD_MS = 60_000;
/** None but on nodes that run Linux. */
const LINUX = {
  clusterStrategy: { policy: "none" },
  nodeStrategies: [
    {
      name: "linux",
      nodeSelector: { matchLabels: { "kubernetes.io/os": "linux" } },
      percent: 25,
      policy: "cpuBurstOnly",
    },
  ],
};
const OPERATOR = "app.kubernetes.io/name=virtpod-operator";

describe("the configuration of a running installation", { concurrency: 1 }, () => {
  let guests: Guests;
  let client: Client;
  let original: string;

  before(async () => {
    guests = await Guests.open("configuration");
    ({ client } = guests);
    original = (await configMap(CONFIG_MAP)).data?.[CONFIG_KEY] ?? "";
    await guests.create("tiny", { domain: { cpu: { cores: 1 }, resources: { limits: { cpu: "800m" } } } });
    await guests.answering("tiny", START_MS);
  });
  after(async () => {
    await write(original);
    await inForce("the original", ({ data }) => data?.["refused"] === undefined);
    await guests.close();
  });

  const configMaps = () => client.resource(CONFIG_MAPS).namespace(SYSTEM);
  const configMap = (name: string) => configMaps().get(name);
  const write = (text: string) =>
    configMaps().patch(CONFIG_MAP, mergePatch({ data: { [CONFIG_KEY]: text } }));
  const changed = (over: object) => JSON.stringify({ ...JSON.parse(original), ...over });
  const burstIs = (seconds: number) =>
    untilMeasured(
      client,
      "virtpod_vmi_cpu_burst_seconds",
      { namespace: guests.namespace, name: "tiny" },
      (now) => now === seconds,
      CHANGE_MS,
    );

  async function inForce(what: string, when: (configMap: ConfigMap) => boolean): Promise<ConfigMap> {
    const found = await until(client, CONFIG_MAPS, {
      namespace: SYSTEM,
      name: CONFIG_MAP_IN_FORCE,
      what,
      timeoutMs: CHANGE_MS,
      when: (seen) => seen !== undefined && when(seen),
    });
    assert.ok(found);
    return found;
  }

  /** UIDs and restarts of the operator's and the agent's pods. One that goes may be left from a rollout. */
  async function programs(): Promise<readonly string[]> {
    const pods = await Promise.all([
      systemPods(client, "virtpod-operator"),
      systemPods(client, "virtpod-agent"),
    ]);
    return pods.flat().map(({ metadata, status }) => {
      return `${metadata.uid} ${status?.containerStatuses?.map((one) => one.restartCount).join()}`;
    });
  }

  it("reaches operator, agents and guests without a restart, and the metrics tell which it is", async () => {
    const before = await programs();
    assert(before.length >= 2, "operator and agent");
    await burstIs(0.08);
    await write(changed({ logLevel: "debug", cpuBurst: { clusterStrategy: { policy: "none" } } }));
    const { data } = await inForce("debug", (one) => one.data?.[CONFIG_KEY]?.includes('"debug"') === true);
    const version = data?.["version"] ?? "";
    for (const name of ["virtpod_config_info", "virtpod_agent_config_info"])
      await untilMeasured(client, name, { version }, (now) => now === 1, CHANGE_MS);
    await burstIs(0);
    await write(changed({ cpuBurst: LINUX }));
    await burstIs(0.02);
    assert.deepEqual(await programs(), before);
  });

  it("lets quotas follow the load, and a resize in the midst of it gets through", async () => {
    // Whatever else the node does, it is no reason to take the quota back.
    const clusterStrategy = { policy: "auto", quotaPercent: 200, sharePoolThresholdPercent: 100 };
    await write(changed({ cpuBurst: { clusterStrategy } }));
    await limit("300m");
    await guests.type("tiny", "while :; do :; done & echo busy-$((6 * 7))", /busy-42/);
    const labels = { namespace: guests.namespace, name: "tiny" };
    const quota = (when: (cpus: number) => boolean) =>
      untilMeasured(client, "virtpod_vmi_cpu_quota_cpus", labels, (cpus) => when(cpus ?? 0), LOAD_MS);
    await quota((cpus) => cpus > 0.4);
    await limit("200m");
    await quota((cpus) => cpus > 0.25 && cpus <= 0.4);
    await write(changed({ cpuBurst: { clusterStrategy: { policy: "none" } } }));
    await quota((cpus) => cpus === 0.2);
    await guests.type("tiny", "kill %1; echo idle-$((6 * 7))", /idle-42/);
    await limit("800m");
  });

  /** Of the VM's template; resolves when the kubelet has made it. */
  async function limit(cpu: string): Promise<void> {
    const template = { spec: { domain: { resources: { limits: { cpu } } } } };
    await guests.resource(VIRTUAL_MACHINES).patch("tiny", mergePatch({ spec: { template } }));
    await until(client, PODS, {
      namespace: guests.namespace,
      name: (await guests.pod("tiny")).metadata.name,
      what: `a limit of ${cpu} that is made`,
      timeoutMs: CHANGE_MS,
      when: (pod) => {
        const [status] = pod?.status?.containerStatuses ?? [];
        return status?.resources?.limits?.["cpu"] === cpu;
      },
    });
  }

  it("that is bad is refused with the reason, and the last good one stays, also over a new operator", async () => {
    await write(changed({ cpuBurst: LINUX }));
    await limit("800m");
    await burstIs(0.02);
    const { data } = await configMap(CONFIG_MAP_IN_FORCE);
    await write(changed({ cpuBurst: { clusterStrategy: { policy: "none", percent: 0 } } }));
    const refused = await inForce("a refusal", (one) => one.data?.["refused"] !== undefined);
    assert.match(refused.data?.["refused"] ?? "", /cpuBurst\.clusterStrategy\.percent: must be >= 1/);
    assert.equal(refused.data?.["version"], data?.["version"]);
    await untilMeasured(client, "virtpod_config_last_reload_successful", {}, (now) => now === 0, CHANGE_MS);
    const told = new Guests(client, SYSTEM);
    await told.untilEvent(CONFIG_MAP, "InvalidConfiguration", /percent.*stays/, CHANGE_MS);
    await burstIs(0.02);

    const replaced = new Set(
      (await systemPods(client, "virtpod-operator")).map(({ metadata }) => metadata.uid),
    );
    await client.resource(PODS).namespace(SYSTEM).deleteCollection({ labelSelector: OPERATOR });
    for (const _ of [...replaced])
      replaced.add((await untilSuccessor(client, "virtpod-operator", replaced)).metadata.uid);
    await untilMeasured(client, "virtpod_config_last_reload_successful", {}, (now) => now === 0, START_MS);
    await burstIs(0.02);
  });

  it("is shown by virtpod config, with what is refused of it", () => {
    const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
    const text = capture("node", ["cli/main.ts", "config"], env);
    assert.match(text, /holds another one: .*percent: must be >= 1/);
    assert.match(text, /cpuBurst\.nodeStrategies\[0\]\.percent +25/);
    const { configuration, refused } = JSON.parse(
      capture("node", ["cli/main.ts", "config", "-o", "json"], env),
    );
    assert.equal(configuration.cpuBurst.nodeStrategies[0].name, "linux");
    assert.match(refused, /percent/);
  });
});
