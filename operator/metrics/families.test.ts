import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Registry } from "prom-client";
import type { LauncherMetrics } from "../../api/agent-metrics.ts";
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import { silentLogger } from "../../kube/logger.ts";
import { Agents } from "../uplink/agents.ts";
import { exportMeasurements } from "./export.ts";
import { FAMILIES } from "./families.ts";
import type { NodeSample } from "./sample.ts";

const LAUNCHER: LauncherMetrics = {
  podUid: "p",
  cpu: {
    usageSeconds: 12.5,
    periods: 100,
    throttledPeriods: 3,
    throttledSeconds: 0.25,
    quotaMicros: 75_000,
    periodMicros: 100_000,
    burstMicros: 50_000,
    baseQuotaMicros: 50_000,
    adopted: 1,
    repaired: 2,
    resets: 3,
    failures: 0,
  },
  memory: { usageBytes: 1024 },
};
const DOMAIN: DomainStatistics = {
  cpu: { seconds: 10, userSeconds: 7, systemSeconds: 3 },
  vcpus: [{ id: 0, state: "running", seconds: 9, delaySeconds: 0.5 }],
  memory: { resident: 4096, available: 2048, usable: 1024 },
};
const SAMPLES: readonly NodeSample[] = [
  {
    nodeName: "node-1",
    node: {
      cgroupVersion: 1,
      kernelBurst: "supported",
      state: "cooling",
      sharePoolUse: 0.47,
      refusals: { NotAnnounced: 2 },
    },
    instances: [{ namespace: "default", name: "tiny", launcher: LAUNCHER, domain: DOMAIN }],
  },
  { nodeName: "node-2", instances: [{ namespace: "default", name: "dark" }] },
];

/** Names that no API server takes, and no reader of ours may stumble over. */
const HOSTILE: readonly NodeSample[] = SAMPLES.map((sample) => ({
  ...sample,
  instances: sample.instances.map((one) => ({ ...one, name: 'a"b\\c\nd', namespace: "}" })),
}));

const read = (name: string) => {
  const family = FAMILIES.find((one) => one.name === name);
  assert.ok(family, name);
  return family.read(SAMPLES);
};
const TINY = { node: "node-1", namespace: "default", name: "tiny" };

describe("the metrics of VMIs and nodes", () => {
  it("are under KubeVirt's names where it has one", () => {
    assert.deepEqual(read("kubevirt_vmi_cpu_usage_seconds_total"), [{ labels: TINY, value: 10 }]);
    assert.deepEqual(read("kubevirt_vmi_vcpu_seconds_total"), [
      { labels: { ...TINY, id: "0", state: "running" }, value: 9 },
    ]);
    assert.deepEqual(read("kubevirt_vmi_vcpu_wait_seconds_total"), []);
    assert.deepEqual(read("kubevirt_vmi_memory_used_bytes"), [{ labels: TINY, value: 1024 }]);
    assert.deepEqual(read("kubevirt_vmi_memory_cached_bytes"), []);
  });

  it("tell quotas in CPUs, and what is not known not at all", () => {
    assert.deepEqual(read("virtpod_vmi_cpu_limit_cpus"), [{ labels: TINY, value: 0.5 }]);
    assert.deepEqual(read("virtpod_vmi_cpu_quota_cpus"), [{ labels: TINY, value: 0.75 }]);
    assert.deepEqual(read("virtpod_vmi_cpu_burst_seconds"), [{ labels: TINY, value: 0.05 }]);
    assert.deepEqual(read("virtpod_vmi_cpu_burst_tokens"), []);
    assert.deepEqual(read("virtpod_agent_refusals_total"), [
      { labels: { node: "node-1", code: "NotAnnounced" }, value: 2 },
    ]);
    assert.deepEqual(
      read("virtpod_node_agent_measured").map(({ labels, value }) => [labels["node"], value]),
      [
        ["node-1", 1],
        ["node-2", 0],
      ],
    );
  });

  it("have names, types and texts as Prometheus' linter wants them", () => {
    assert.equal(new Set(FAMILIES.map(({ name }) => name)).size, FAMILIES.length);
    for (const { help, name, type } of FAMILIES) {
      assert.match(name, /^(kubevirt_vmi|virtpod_vmi|virtpod_node|virtpod_agent)_[a-z_]+[a-z]$/);
      assert.equal(type === "counter", name.endsWith("_total"), name);
      assert.doesNotMatch(name, /milli|micro|nano|_count$|_sum$|_bucket$/);
      assert.match(help, /^[A-Z0-9].*\.$/);
    }
  });

  it("are text that Prometheus can read, each family in one piece with its type before it", async () => {
    const registry = new Registry();
    for (const { help, name, type, read: values } of FAMILIES) {
      const get = async () => ({ name, help, type, aggregator: "sum", values: values(HOSTILE) });
      registry.registerMetric({ name, help, get, reset() {} } as never);
    }
    const label = '[a-z]+="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
    const sample = new RegExp(`^([a-z_]+)\\{${label}(?:,${label})*\\} -?[0-9.e+-]+$`);
    let family = "";
    const seen = new Set<string>();
    for (const line of (await registry.metrics()).split("\n")) {
      const type = /^# TYPE ([a-z_]+) (?:counter|gauge)$/.exec(line)?.[1];
      if (type !== undefined) {
        assert(!seen.has(type), line);
        seen.add(type);
        family = type;
      } else if (line !== "" && !line.startsWith("# HELP ")) {
        assert.equal(sample.exec(line)?.[1], family, line);
      }
    }
    assert.equal(seen.size, FAMILIES.length);
  });

  it("are in the registry's text, and empty where another operator leads", async () => {
    const registry = new Registry();
    const caches = { pods: { byIndex: () => [] } } as never;
    exportMeasurements(registry, {
      agents: new Agents(),
      caches,
      isLeader: () => false,
      logger: silentLogger,
    });
    const text = await registry.metrics();
    assert.match(text, /# TYPE kubevirt_vmi_cpu_usage_seconds_total counter/);
    assert.doesNotMatch(text, /^kubevirt_vmi_cpu_usage_seconds_total/m);
  });
});
