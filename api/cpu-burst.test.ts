import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  BURST_POLICIES,
  burstConfigurationProblem,
  DEFAULT_BURST_STRATEGY,
  nodeBurstStrategy,
  vmBurstStrategy,
} from "./cpu-burst.ts";
import type { CpuBurst, CpuBurstConfiguration } from "./cpu-burst-schema.ts";

const LABELS = { "kubernetes.io/arch": "amd64", pool: "batch" };

describe("a node's strategy", () => {
  it("is the defaults where nobody says otherwise", () => {
    assert.deepEqual(nodeBurstStrategy({}, LABELS), DEFAULT_BURST_STRATEGY);
  });

  it("is the cluster's, and over it that of the first node strategy that selects the node", () => {
    const configuration: CpuBurstConfiguration = {
      clusterStrategy: { policy: "auto", quotaPercent: 200 },
      nodeStrategies: [
        { name: "other", nodeSelector: { matchLabels: { pool: "web" } }, policy: "none" },
        { name: "batch", nodeSelector: { matchLabels: { pool: "batch" } }, quotaPercent: 400 },
        { name: "late", nodeSelector: { matchLabels: { pool: "batch" } }, policy: "none" },
      ],
    };
    assert.deepEqual(nodeBurstStrategy(configuration, LABELS), {
      ...DEFAULT_BURST_STRATEGY,
      policy: "auto",
      quotaPercent: 400,
    });
    assert.equal(nodeBurstStrategy(configuration, {}).quotaPercent, 200);
  });

  type Expression = NonNullable<
    NonNullable<CpuBurstConfiguration["nodeStrategies"]>[number]["nodeSelector"]["matchExpressions"]
  >[number];
  const expressions: readonly (readonly [Expression, boolean])[] = [
    [{ key: "pool", operator: "In", values: ["web", "batch"] }, true],
    [{ key: "pool", operator: "In", values: ["web"] }, false],
    [{ key: "absent", operator: "In", values: ["web"] }, false],
    [{ key: "pool", operator: "NotIn", values: ["batch"] }, false],
    [{ key: "absent", operator: "NotIn", values: ["batch"] }, true],
    [{ key: "pool", operator: "Exists" }, true],
    [{ key: "absent", operator: "Exists" }, false],
    [{ key: "pool", operator: "DoesNotExist" }, false],
    [{ key: "absent", operator: "DoesNotExist" }, true],
  ];
  for (const [expression, selects] of expressions) {
    it(`is ${selects ? "" : "not "}selected by ${JSON.stringify(expression)}`, () => {
      const nodeStrategies = [
        { name: "a", nodeSelector: { matchExpressions: [expression] }, policy: "none" as const },
      ];
      assert.equal(nodeBurstStrategy({ nodeStrategies }, LABELS).policy === "none", selects);
    });
  }
});

describe("a VM's strategy", () => {
  it("has of each field what the VM says, else what its node does", () => {
    const field = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const partial = fc.record({
      policy: field(fc.constantFrom(...BURST_POLICIES)),
      percent: field(fc.integer({ min: 1, max: 10_000 })),
      quotaPercent: field(fc.integer({ min: 100, max: 10_000 })),
      quotaPeriodSeconds: field(fc.integer({ min: -1, max: 86_400 })),
    });
    fc.assert(
      fc.property(partial, partial, (cluster, vm) => {
        const node = nodeBurstStrategy({ clusterStrategy: cluster } as CpuBurstConfiguration, {});
        const strategy = vmBurstStrategy(node, vm as CpuBurst);
        for (const name of ["policy", "percent", "quotaPercent", "quotaPeriodSeconds"] as const) {
          assert.equal(strategy[name], vm[name] ?? cluster[name] ?? DEFAULT_BURST_STRATEGY[name]);
        }
        assert.deepEqual(Object.keys(strategy), ["policy", "percent", "quotaPercent", "quotaPeriodSeconds"]);
      }),
    );
  });
});

describe("a configuration", () => {
  const problem = (nodeStrategies: CpuBurstConfiguration["nodeStrategies"]) =>
    burstConfigurationProblem({ ...(nodeStrategies && { nodeStrategies }) });

  it("that says what can be done has no problem", () => {
    assert.equal(problem(undefined), undefined);
    assert.equal(problem([{ name: "a", nodeSelector: { matchLabels: { a: "b" } } }]), undefined);
  });

  const rows: readonly (readonly [string, NonNullable<CpuBurstConfiguration["nodeStrategies"]>, RegExp])[] = [
    [
      "selects all nodes",
      [{ name: "a", nodeSelector: {} }],
      /^nodeStrategies\[0\]\.nodeSelector: .*clusterStrategy/,
    ],
    [
      "has two strategies of one name",
      [
        { name: "a", nodeSelector: { matchLabels: { a: "b" } } },
        { name: "a", nodeSelector: { matchLabels: { a: "c" } } },
      ],
      /^nodeStrategies\[1\]\.name: "a"/,
    ],
    [
      "asks for one of no values",
      [{ name: "a", nodeSelector: { matchExpressions: [{ key: "a", operator: "In" }] } }],
      /^nodeStrategies\[0\]\.nodeSelector\.matchExpressions\[0\]\.values: In needs values/,
    ],
    [
      "has values where none are looked at",
      [{ name: "a", nodeSelector: { matchExpressions: [{ key: "a", operator: "Exists", values: ["b"] }] } }],
      /values: Exists takes no values/,
    ],
  ];
  for (const [name, nodeStrategies, expected] of rows) {
    it(`that ${name} is refused with the field`, () => {
      assert.match(problem(nodeStrategies) ?? "", expected);
    });
  }
});
