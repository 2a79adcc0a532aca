/** Koordinator's steps, tick by tick: what goes in and what must come out. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BURST_POLICIES, type CpuBurstStrategy } from "../../api/cpu-burst.ts";
import { type NodeState, nodeState } from "./node-load.ts";
import { type ScalingOperation, scaledQuota, scalingOperation } from "./quota-scaling.ts";
import { advanceBucket, bucketCapacity, type TokenBucket } from "./token-bucket.ts";

const NODE_STATES: readonly NodeState[] = ["idle", "cooling", "overload", "unknown"];

describe("the operation", () => {
  const table: Readonly<Record<NodeState, Readonly<Record<ScalingOperation, ScalingOperation>>>> = {
    idle: { up: "up", remain: "remain", down: "down", reset: "reset" },
    cooling: { up: "remain", remain: "remain", down: "down", reset: "reset" },
    overload: { up: "down", remain: "down", down: "down", reset: "reset" },
    unknown: { up: "remain", remain: "remain", down: "down", reset: "reset" },
  };
  const inputs = {
    up: { policy: "auto", hasTokens: true, throttledRatio: 0.01 },
    remain: { policy: "auto", hasTokens: true, throttledRatio: 0 },
    down: { policy: "auto", hasTokens: false, throttledRatio: 1 },
    reset: { policy: "cpuBurstOnly", hasTokens: true, throttledRatio: 1 },
  } as const;
  for (const node of NODE_STATES) {
    for (const [own, input] of Object.entries(inputs) as [ScalingOperation, (typeof inputs)["up"]][]) {
      it(`${own} on a node that is ${node} is ${table[node][own]}`, () => {
        assert.equal(scalingOperation({ ...input, node }), table[node][own]);
      });
    }
  }

  it("remains where nobody knows how much a container was throttled", () => {
    const input = { policy: "auto", hasTokens: true, throttledRatio: undefined, node: "idle" } as const;
    assert.equal(scalingOperation(input), "remain");
  });

  it("is a reset under each policy that scales no quota, whatever else", () => {
    for (const policy of ["none", "cpuBurstOnly"] as const) {
      for (const node of NODE_STATES) {
        assert.equal(scalingOperation({ policy, hasTokens: false, throttledRatio: 1, node }), "reset");
      }
    }
    assert.equal(BURST_POLICIES.length, 4);
  });
});

describe("the quota", () => {
  const rows: readonly (readonly [
    string,
    number,
    number,
    number,
    readonly ScalingOperation[],
    readonly number[],
  ])[] = [
    [
      "rises from the limit to three times it in seven steps",
      50_000,
      50_000,
      300,
      Array<ScalingOperation>(8).fill("up"),
      [60_000, 72_000, 86_400, 103_680, 124_416, 149_299, 150_000, 150_000],
    ],
    [
      "sinks from three times the limit to it in five steps",
      150_000,
      50_000,
      300,
      Array<ScalingOperation>(6).fill("down"),
      [120_000, 96_000, 76_800, 61_440, 50_000, 50_000],
    ],
    [
      "swings",
      400_000,
      200_000,
      200,
      ["up", "remain", "down", "down", "up", "up"],
      [400_000, 400_000, 320_000, 256_000, 307_200, 368_640],
    ],
    ["is cut in whole microseconds", 1_001, 1_001, 300, ["up", "up", "down"], [1_201, 1_441, 1_152]],
    ["stays where 100 % is all", 50_000, 50_000, 100, ["up", "up"], [50_000, 50_000]],
    ["ends at the limit by a reset", 149_299, 50_000, 300, ["reset"], [50_000]],
    ["comes back between its bounds from outside", 400_000, 50_000, 300, ["remain"], [150_000]],
    ["comes back between its bounds from below", 10_000, 50_000, 300, ["remain"], [50_000]],
  ];
  for (const [name, start, base, percent, operations, expected] of rows) {
    it(name, () => {
      let quota = start;
      const seen = operations.map((operation) => {
        quota = scaledQuota(operation, quota, base, percent);
        return quota;
      });
      assert.deepEqual(seen, expected);
    });
  }

  it("lies between base and ceiling, whatever happens", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<ScalingOperation>("up", "remain", "down", "reset"),
        fc.integer({ min: 1_000, max: 10_000_000 }),
        fc.integer({ min: 1_000, max: 10_000_000 }),
        fc.integer({ min: 100, max: 10_000 }),
        (operation, quota, base, percent) => {
          const next = scaledQuota(operation, quota, base, percent);
          assert.ok(Number.isInteger(next) && next >= base && next <= (base * percent) / 100);
        },
      ),
    );
  });
});

describe("the node's state", () => {
  const rows: readonly (readonly [number | undefined, number, NodeState])[] = [
    [0, 50, "idle"],
    [0.4499, 50, "idle"],
    [0.45, 50, "cooling"],
    [0.4999, 50, "cooling"],
    [0.5, 50, "overload"],
    [1, 50, "overload"],
    [1, 100, "overload"],
    [0.9, 100, "cooling"],
    [0, 0, "overload"],
    [undefined, 50, "unknown"],
  ];
  for (const [use, threshold, state] of rows) {
    it(`is ${state} with ${use} of its CPUs in use and a threshold of ${threshold} %`, () => {
      assert.equal(nodeState(use, threshold), state);
    });
  }
});

describe("tokens", () => {
  const strategy = (quotaPercent: number, quotaPeriodSeconds: number): CpuBurstStrategy => ({
    policy: "auto",
    percent: 100,
    quotaPercent,
    quotaPeriodSeconds,
  });

  it("are as many as the quota period at the ceiling uses up", () => {
    assert.equal(bucketCapacity(strategy(300, 10)), 2_000);
    assert.equal(bucketCapacity(strategy(150, 60)), 3_000);
    assert.equal(bucketCapacity(strategy(300, 0)), 0);
    assert.equal(bucketCapacity(strategy(100, 10)), 0);
  });

  it("are not needed where the period has no end", () => {
    assert.equal(bucketCapacity(strategy(300, -1)), undefined);
  });

  /** Ticks of a second with that use of the limit, from a new bucket. */
  function ticks(capacity: number, uses: readonly number[], random = 0.5): readonly number[] {
    let bucket: TokenBucket = advanceBucket(undefined, capacity, 0, 0, () => random);
    return [bucket.tokens].concat(
      uses.map((use, index) => {
        bucket = advanceBucket(bucket, capacity, use, (index + 1) * 1_000, () => random);
        return bucket.tokens;
      }),
    );
  }

  it("are used up from 100 % of the limit, earned below 60 %, and stay in between", () => {
    assert.deepEqual(ticks(2_000, [300, 300, 100, 99, 60, 59, 0]), [500, 300, 100, 100, 100, 100, 141, 241]);
  });

  it("are no more than the capacity, and no debt is more than it", () => {
    assert.deepEqual(ticks(200, [0, 0, 0], 0), [0, 100, 200, 200]);
    assert.deepEqual(ticks(200, [300, 300, 0], 0), [0, -200, -200, -100]);
  });

  it("are up to half of the capacity at first", () => {
    assert.deepEqual(ticks(2_000, [], 0), [0]);
    assert.deepEqual(ticks(2_000, [], 0.999), [999]);
  });

  it("begin anew when the capacity changes", () => {
    const bucket = advanceBucket(undefined, 2_000, 0, 0, () => 0.5);
    assert.equal(advanceBucket(bucket, 1_000, 300, 1_000, () => 0.5).tokens, 250);
  });

  it("count parts of a second, and no time that runs backwards", () => {
    const bucket: TokenBucket = { capacity: 2_000, tokens: 500, atMs: 1_000 };
    assert.equal(advanceBucket(bucket, 2_000, 300, 2_500, () => 0).tokens, 200);
    assert.equal(advanceBucket(bucket, 2_000, 300, 900, () => 0).tokens, 500);
  });

  it("last a clock's jump: no more is used up than there can be", () => {
    const bucket: TokenBucket = { capacity: 2_000, tokens: 500, atMs: 0 };
    assert.equal(advanceBucket(bucket, 2_000, 300, 1e12, () => 0).tokens, -2_000);
  });
});
