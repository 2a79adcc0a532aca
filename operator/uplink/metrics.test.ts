import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AgentMetrics } from "../../api/agent-metrics.ts";
import type { DomainStatistics } from "../../api/domain-statistics.ts";
import { parseAgentMetrics, parseDomainStatistics } from "./metrics.ts";

const METRICS: AgentMetrics = {
  node: {
    settingsVersion: "1",
    cgroupVersion: 2,
    kernelBurst: "unknown",
    state: "idle",
    sharePoolUse: 0.5,
    refusals: { NotAnnounced: 1 },
  },
  launchers: [
    {
      podUid: "p",
      cpu: {
        usageSeconds: 1.5,
        periods: 1,
        throttledPeriods: 0,
        throttledSeconds: 0,
        quotaMicros: null,
        periodMicros: 100_000,
        burstMicros: null,
        baseQuotaMicros: 50_000,
        tokens: -3,
        adopted: 0,
        repaired: 0,
        resets: 0,
        failures: 0,
        problem: "no such file",
      },
      memory: { usageBytes: 1 },
    },
  ],
};
const STATISTICS: DomainStatistics = {
  cpu: { seconds: 3, userSeconds: 2, systemSeconds: 1 },
  vcpus: [{ id: 0, state: "blocked", seconds: 1, waitSeconds: 0 }],
  memory: { resident: 5, majorFaults: 0 },
};

describe("what agents and launchers measure", () => {
  it("is taken as it is told", () => {
    assert.deepEqual(parseAgentMetrics(structuredClone(METRICS)), METRICS);
    assert.deepEqual(parseDomainStatistics(structuredClone(STATISTICS)), STATISTICS);
  });

  it("is refused by the field that no measurement could be", () => {
    const [launcher] = METRICS.launchers;
    const cpu = (over: object) => ({
      ...METRICS,
      launchers: [{ ...launcher, cpu: { ...launcher?.cpu, ...over } }],
    });
    for (const [told, field] of [
      [null, /metrics is not an object/],
      [{ ...METRICS, launchers: "many" }, /metrics\.launchers/],
      [{ ...METRICS, node: { ...METRICS.node, cgroupVersion: 3 } }, /cgroupVersion/],
      [{ ...METRICS, node: { ...METRICS.node, state: "tired" } }, /node\.state/],
      [{ ...METRICS, node: { ...METRICS.node, refusals: { a: "x" } } }, /refusals/],
      [cpu({ usageSeconds: -1 }), /usageSeconds is below zero/],
      [cpu({ periods: "1" }), /periods is no number/],
      [cpu({ quotaMicros: Number.NaN }), /quotaMicros/],
    ] as const)
      assert.throws(() => parseAgentMetrics(told), { code: "MalformedStatus", message: field });
    assert.throws(
      () => parseDomainStatistics({ ...STATISTICS, vcpus: [{ id: 0, state: "gone", seconds: 0 }] }),
      /state/,
    );
  });

  it("drops what it doesn't know: nothing of an agent's gets further unread", () => {
    const told = {
      ...STATISTICS,
      cpu: { ...STATISTICS.cpu, evil: "x" },
      memory: { resident: 5, majorFaults: 0, y: 1 },
    };
    assert.deepEqual(parseDomainStatistics(told), STATISTICS);
  });
});
