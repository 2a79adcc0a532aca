import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DEFAULT_CONFIGURATION } from "../../api/configuration.ts";
import { DEFAULT_BURST_STRATEGY } from "../../api/cpu-burst.ts";
import { parseConfiguration, versionOf } from "./parse.ts";

describe("the configuration", () => {
  it("has defaults for all of its fields", () => {
    assert.deepEqual(parseConfiguration("{}"), DEFAULT_CONFIGURATION);
    assert.deepEqual(DEFAULT_CONFIGURATION, {
      logLevel: "info",
      useEmulation: false,
      allowHostDisk: false,
      allowServiceAccountDisk: false,
      allowUnguardedInterfaces: false,
      cpuAllocationRatio: 10,
      memoryOvercommit: 100,
      cpuBurst: { clusterStrategy: DEFAULT_BURST_STRATEGY },
    });
  });

  it("is what its text says, node strategies in their order", () => {
    const nodeStrategies = [
      { name: "a", nodeSelector: { matchLabels: { pool: "a" } }, policy: "none" },
      { name: "b", nodeSelector: { matchLabels: { pool: "b" } }, sharePoolThresholdPercent: 70 },
    ];
    const clusterStrategy = { policy: "auto", quotaPercent: 200 };
    const text = JSON.stringify({ logLevel: "debug", cpuBurst: { clusterStrategy, nodeStrategies } });
    const { cpuBurst, logLevel } = parseConfiguration(text);
    assert.equal(logLevel, "debug");
    assert.deepEqual(cpuBurst, {
      clusterStrategy: { ...DEFAULT_BURST_STRATEGY, ...clusterStrategy },
      nodeStrategies,
    });
  });

  it("has one version, however it is written", () => {
    const versions = [
      '{"logLevel": "info", "useEmulation": true}',
      '{"useEmulation": true}',
      '{"useEmulation": true, "cpuBurst": {"clusterStrategy": {"policy": "cpuBurstOnly"}}}',
    ].map((text) => versionOf(parseConfiguration(text)));
    assert.equal(new Set(versions).size, 1);
    assert.notEqual(versions[0], versionOf(DEFAULT_CONFIGURATION));
  });

  const cpuBurst = (strategy: object) => JSON.stringify({ cpuBurst: { clusterStrategy: strategy } });
  const mistakes: readonly (readonly [what: string, text: string, words: RegExp])[] = [
    ["no JSON", "logLevel: info", /it is no JSON/],
    ["no object", "[]", /the document: /],
    ["nothing", "null", /the document: /],
    ["a field that nobody knows", '{"useKvm": true}', /useKvm: there is no such field/],
    [
      "a strange field within",
      cpuBurst({ percents: 1 }),
      /cpuBurst\.clusterStrategy\.percents: there is no such field/,
    ],
    ["text for a boolean", '{"useEmulation": "true"}', /useEmulation: must be boolean/],
    [
      "an unknown log level",
      '{"logLevel": "loud"}',
      /logLevel: must be one of trace, debug, info, warn, error/,
    ],
    ["an unknown policy", cpuBurst({ policy: "always" }), /policy: must be one of none, cpuBurstOnly/],
    ["burst percent 0", cpuBurst({ percent: 0 }), /cpuBurst\.clusterStrategy\.percent: must be >= 1/],
    ["a negative burst percent", cpuBurst({ percent: -1 }), /percent: must be >= 1/],
    ["burst percent as text", cpuBurst({ percent: "100" }), /percent: must be integer/],
    ["half a percent", cpuBurst({ percent: 50.5 }), /percent: must be integer/],
    ["a quota below the limit", cpuBurst({ quotaPercent: 99 }), /quotaPercent: must be >= 100/],
    ["a threshold above 100", cpuBurst({ sharePoolThresholdPercent: 101 }), /must be <= 100/],
    ["no overcommit at all", '{"memoryOvercommit": 0}', /memoryOvercommit: must be >= 10/],
    [
      "a node strategy for no node",
      '{"cpuBurst": {"nodeStrategies": [{"name": "a", "nodeSelector": {}}]}}',
      /cpuBurst\.nodeStrategies\[0\]\.nodeSelector: it names no label/,
    ],
    ["far too much text", `"${"x".repeat(300_000)}"`, /more than 262144 characters/],
  ];
  for (const [what, text, words] of mistakes) {
    it(`with ${what} is refused by name`, () =>
      assert.throws(() => parseConfiguration(text), { code: "InvalidConfiguration", message: words }));
  }

  it("takes a burst percent of Koordinator's, which counts as 100", () => {
    assert.equal(parseConfiguration(cpuBurst({ percent: 1000 })).cpuBurst.clusterStrategy?.percent, 1000);
  });
});
